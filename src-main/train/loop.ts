// The training loop: updates until the budget is spent or someone says so. It says RunEvents and knows no process, file or clock of its own.
import type { Model } from '../engine/build';
import { evaluate } from '../engine/evaluate';
import type { Optimiser } from '../engine/optimiser';
import { makeStep, type StepResult, type TrainStep } from '../engine/step';
import type { RunEventBody } from '../spec/event';
import type { RunSpec } from '../spec/run';
import { lrAt } from '../spec/schedule';
import type { Batch, TaskData } from '../tasks/define';
import type { Control } from './control';
import { isDue, type Progress, reached, reportEvery, risen, spent } from './pace';
import type { Shown } from './sample';

export interface TrainOptions {
  spec: RunSpec;
  model: Model;
  optimiser: Optimiser;
  data: TaskData;
  /** Where the run stands: zeros, or what a checkpoint says. */
  start: Progress;
  control: Control;
  emit(event: RunEventBody): void;
  /** Saves a checkpoint. It reports its own failures; training goes on. */
  save(progress: Progress, final: boolean): Promise<void>;
  /** Text for the `sample` event; absent where the task draws no samples. */
  sample?(step: number): Promise<Shown | undefined>;
  /** Called between updates, so that the host can look after its own: heartbeat, load. */
  tick?(progress: Progress): void;
  /** Milliseconds. */
  now?(): number;
}

export type Outcome =
  | { status: 'finished' | 'stopped' | 'interrupted'; why: string; progress: Progress }
  /** The numbers are lost; the newest checkpoint is from before. */
  | { status: 'failed'; why: string; progress: Progress };

const WHY = {
  stop: { status: 'stopped', why: 'Stopped on request.' },
  interrupt: { status: 'interrupted', why: 'The lab that looked after this run went away.' },
} as const;

/** Lets messages and timers through: a step on the CPU keeps the thread to itself. */
const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

/**
 * Trains from `start` until the budget is spent, the control ends it, or the loss stops being a number.
 * Same device, threads and seed: the same numbers bit for bit, also when it goes on from a checkpoint.
 */
export async function train(options: TrainOptions): Promise<Outcome> {
  const { spec, model, optimiser } = options;
  const step = makeStep({ model, optimiser, clip: spec.clip, labelSmoothing: spec.objective.labelSmoothing });
  try {
    return await updates(options, step);
  } finally {
    step.dispose();
  }
}

async function updates(options: TrainOptions, train: TrainStep): Promise<Outcome> {
  const { spec, data, control, emit, save, tick = () => {}, now = () => performance.now() } = options;
  const { budget, batch, evaluation, samples, checkpoint } = spec;
  let progress = options.start;
  let pausing = false;
  let evaluatedAt = -1;
  let savedAt = -1;
  /** What the newest evaluation reached of the run's goals, as a sentence. */
  let goal: string | undefined;
  let firstLoss: { step: number; loss: number } | undefined;
  let warned = false;
  const pace = { stepMs: Number.POSITIVE_INFINITY };
  /** Steps since the last whose loss was read, that one's wait being theirs too. */
  const unread = { steps: 0, ms: 0 };
  const partSize = batch.size / batch.accumulation;

  const report = async (signal?: AbortSignal) => {
    const count = Math.ceil(evaluation.batches / data.round) * data.round;
    const { step, tokens, seconds } = progress;
    const values = await evaluate(options.model, validation(data, count, partSize, signal));
    emit({ kind: 'evaluation', step, tokens, seconds, values: finite(values) });
    evaluatedAt = step;
    goal = reached(budget.until, values);
  };
  const show = async () => {
    const shown = await options.sample?.(progress.step);
    if (shown) emit({ kind: 'sample', step: progress.step, ...shown, temperature: samples.temperature });
  };
  const keep = async (final: boolean) => {
    await save(progress, final);
    savedAt = progress.step;
  };

  /** What `work` gives; undefined if it broke off because the run is to end. */
  const unlessEnding = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (error !== control.signal.reason) throw error;
      return undefined;
    }
  };

  emit({ kind: 'state', step: progress.step, status: 'running' });
  for (;;) {
    await breathe();
    tick(progress);
    if (control.ending) {
      // Only a stopped run's checkpoint is a result; an interrupted run goes on from its own.
      if (savedAt !== progress.step || control.ending === 'stop') await keep(control.ending === 'stop');
      return { ...WHY[control.ending], progress };
    }
    const why = goal ?? spent(budget, progress);
    if (why) {
      if (progress.step > options.start.step || options.start.step === 0) {
        if (evaluatedAt !== progress.step) await report();
        if (!isDue(samples.every, progress.step)) await show();
      }
      await keep(true);
      return { status: 'finished', why, progress };
    }
    if (control.paused) {
      if (!pausing) {
        if (savedAt !== progress.step) await keep(false);
        emit({ kind: 'state', step: progress.step, status: 'paused' });
      }
      pausing = true;
      if (!control.takeStep()) {
        await control.changed(1000);
        continue;
      }
    } else if (pausing) {
      emit({ kind: 'state', step: progress.step, status: 'running' });
      pausing = false;
    }

    const began = now();
    const lr = lrAt(spec.schedule, spec.optimiser.lr, budget.steps, progress.step);
    const parts = Array.from({ length: batch.accumulation }, (_, i) =>
      data.batch('train', progress.step * batch.accumulation + i, partSize),
    );
    const reported =
      isDue(reportEvery(budget.steps, pace.stepMs), progress.step + 1) || progress.step + 1 === budget.steps;
    const taken = await unlessEnding(async () => ({
      result: await train.run(parts, lr, { step: progress.step, signal: control.signal, read: reported }),
    }));
    if (!taken) continue;
    const { result } = taken;
    if (result && !(Number.isFinite(result.loss) && Number.isFinite(result.norm)))
      return { status: 'failed', why: diverged(result), progress };
    const ms = now() - began;
    unread.steps += 1;
    unread.ms += ms;
    const tokens = parts.reduce((sum, { inputs }) => sum + inputs.length, 0);
    progress = {
      step: progress.step + 1,
      tokens: progress.tokens + tokens,
      seconds: progress.seconds + ms / 1000,
    };
    const { step } = progress;
    const stepMs = unread.ms / unread.steps;
    if (result) {
      pace.stepMs = Math.min(pace.stepMs, stepMs);
      unread.steps = 0;
      unread.ms = 0;
    }
    if (result && reported) {
      const values = {
        'loss/train': result.loss,
        lr,
        grad_norm: result.norm,
        step_ms: stepMs,
        tokens_per_s: tokens / (stepMs / 1000),
      };
      emit({ kind: 'metric', ...progress, values: finite(values) });
      firstLoss ??= { step, loss: result.loss };
      const message: string | undefined = warned ? undefined : risen(spec, firstLoss, { step, loss: result.loss });
      if (message) emit({ kind: 'warning', step, code: 'loss_rose', message });
      warned ||= message !== undefined;
    }
    if (isDue(evaluation.every, step)) await unlessEnding(() => report(control.signal));
    if (isDue(samples.every, step)) await show();
    if (isDue(checkpoint.every, step) && !spent(budget, progress)) await keep(false);

    function diverged({ loss, norm }: StepResult): string {
      const { clip } = spec;
      const tries = [
        `a lower learning rate (this step's was ${Number(lr.toPrecision(3))}; try ${Number((spec.optimiser.lr / 3).toPrecision(2))} at the peak)`,
        `a longer warm-up (now ${spec.schedule.warmup} steps)`,
        clip === null ? 'clipping the gradient norm at 1' : `clipping below ${clip}`,
      ];
      const what = Number.isFinite(loss) ? `the gradient norm is ${norm}` : `the loss is ${loss}`;
      return `Training broke down at step ${progress.step + 1}: ${what}. Try ${tries.join(', or ')}. The weights before it are in the newest checkpoint.`;
    }
  }
}

/** The first `count` validation batches, with a breath before each; throws when the signal is aborted. */
async function* validation(data: TaskData, count: number, size: number, signal?: AbortSignal): AsyncGenerator<Batch> {
  for (let i = 0; i < count; i++) {
    await breathe();
    signal?.throwIfAborted();
    yield data.batch('validation', i, size);
  }
}

const finite = (values: Record<string, number>): Record<string, number | null> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number.isFinite(value) ? value : null]));
