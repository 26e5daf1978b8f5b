// One stretch of work on a run, from the start or the newest checkpoint to its `ended` event.
import { buildModel } from '../engine/build';
import { type CheckpointFs, saveCheckpoint } from '../engine/checkpoint';
import { inspect, stepFlops } from '../engine/cost';
import { memoryProblem } from '../engine/memory';
import { makeOptimiser } from '../engine/optimiser';
import { type LogFs, openLog, type RunLog } from '../log/append';
import { fallbacks, servesHalves, setThreads, useDevice } from '../ops';
import { SpecError } from '../spec/error';
import type { RunEventBody } from '../spec/event';
import { makeRunData } from '../tasks';
import type { Control } from './control';
import { loadMeter } from './load';
import { type Outcome, train } from './loop';
import type { Progress } from './pace';
import { findCheckpoint, restore, tensorsToSave } from './restore';
import { sampler } from './sample';
import { readRunSpec } from './spec';

export interface SessionOptions {
  folder: string;
  /** The lab folder; undefined for a run outside of one. */
  lab: string | undefined;
  /** Threads that the supervisor gives, where the spec leaves it open. */
  threads: number | undefined;
  version: string;
  control: Control;
  /** After events reached the log. */
  wrote?(seq: number): void;
  /** After each update. */
  stepped?(step: number): void;
  /** While the disk takes no events, which the log therefore can't tell: a sentence, and null once it takes them again. */
  troubled?(message: string | null): void;
  logFs?: LogFs;
  checkpointFs?: CheckpointFs;
  /** How long the end waits for room on a full disk. */
  patienceMs?: number;
}

const RETRY_MS = 2000;
/** A result is worth waiting for; whoever asked to stop is not kept as long. */
const PATIENCE_MS = 10 * 60_000;
const PATIENCE_ENDING_MS = 10_000;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/**
 * Works on a run and logs it. Whatever goes wrong with the run becomes its `ended` event.
 * @returns false if events could not be written before patience ran out.
 * @throws Error of node:fs if the log can't be opened.
 */
export async function work(options: SessionOptions): Promise<boolean> {
  const { folder, control, wrote, logFs: fs } = options;
  const log = openLog(folder, { fs, wrote });
  const patience = () => options.patienceMs ?? (control.ending ? PATIENCE_ENDING_MS : PATIENCE_MS);
  let step = 0;
  let troubled = false;
  const tellTrouble = () => {
    if (log.pending > 0 === troubled) return;
    troubled = log.pending > 0;
    options.troubled?.(troubled ? diskTrouble(folder, step) : null);
  };
  const emit = (event: RunEventBody) => {
    step = event.step;
    log.append(event);
    tellTrouble();
  };
  try {
    const { status, why } = await attempt({ ...options, patience }, log, emit);
    emit({ kind: 'ended', step, status, why });
  } catch (error) {
    emit({ kind: 'ended', step, status: 'failed', why: explain(error) });
  }
  for (const end = Date.now() + patience(); !log.flush() && Date.now() < end; )
    await pause(Math.min(RETRY_MS, patience()));
  return log.close();
}

const diskTrouble = (folder: string, step: number): string =>
  `The disk takes no events of the run since step ${step}. Free some space in ${folder}: until then they wait in memory, and the numbers shown stand still.`;

/** A SpecError is a sentence already; anything else is a fault of ours or the machine's, told with its origin. */
function explain(error: unknown): string {
  if (error instanceof SpecError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  const origin = code
    ? ''
    : ` (${(error.stack ?? '')
        .split('\n')
        .slice(1, 3)
        .map((line) => line.trim())
        .join(', ')})`;
  return `${error.message}${origin}`;
}

async function attempt(
  options: SessionOptions & { patience(): number },
  log: RunLog,
  emit: (event: RunEventBody) => void,
): Promise<Outcome> {
  const { folder, lab, control, version } = options;
  /** Checkpoints fail: of a stretch of failures only the first is told, since a full disk may last for thousands of steps. */
  let failing = false;
  const spec = readRunSpec(folder);
  const earlier = log.lastSeq > 0;
  const { checkpoint, warnings, forked } = findCheckpoint(folder, spec);
  const step = checkpoint?.step ?? 0;
  emit({ kind: 'started', step, pid: process.pid, version, resumed: earlier });
  const warn = (warning: { code: string; message: string }) => emit({ kind: 'warning', step, ...warning });
  warnings.forEach(warn);
  if (earlier && !checkpoint)
    warn({ code: 'no_checkpoint', message: 'There is no whole checkpoint to go on from: the run starts anew.' });

  const threads = spec.threads ?? options.threads;
  const device = await useDevice(spec.device, { threads, precision: spec.precision }).catch((error: Error) => {
    // A device that is not there is told as a sentence, not as a fault with its origin.
    throw new SpecError(error.message);
  });
  const data = makeRunData(spec, lab);
  const context = { tokens: data.tokens, vocabulary: data.vocabulary };
  const short = memoryProblem(spec, context);
  if (short) throw new SpecError([short]);
  const masked = spec.objective.kind === 'masked';
  const model = buildModel(spec.model, { ...context, seed: spec.seed, order: masked ? 'any' : 'causal' });
  if (masked && model.causal)
    warn({
      code: 'causal_masked',
      message: 'No block looks at later tokens, so hidden tokens are filled in from what stands before them alone.',
    });
  const optimiser = makeOptimiser(spec.optimiser, model.weights, model.specs);
  try {
    if (checkpoint) {
      const said = restore(checkpoint, model, optimiser, forked);
      if (said) warn(said);
      if (!forked && checkpoint.data !== data.fingerprint)
        warn({
          code: 'other_data',
          message: 'The data is not what the checkpoint was trained on: the source has changed since.',
        });
      const [was, is] = [checkpoint, { device: device.id, threads: device.threads, precision: spec.precision }];
      const same = was.device === is.device && was.precision === is.precision;
      // Our own kernels give the same bits for any number of threads.
      if (!forked && !(same && (is.device === 'cpu' || was.threads === is.threads)))
        warn({
          code: 'not_bit_exact',
          message: `The checkpoint is of ${was.device} with ${was.threads} threads in ${was.precision}, this is ${is.device} with ${is.threads} in ${is.precision}: the run goes on, but not bit for bit as it would have.`,
        });
    }
    const first = data.batch('train', step * spec.batch.accumulation, spec.batch.size / spec.batch.accumulation);
    emit({
      kind: 'built',
      step,
      facts: {
        parameters: model.parameters,
        stepFlops: stepFlops(spec.model, { ...context, tokens: first.tokens, batch: spec.batch.size }),
        stateBytes: inspect(spec.model, {
          ...context,
          objective: spec.objective.kind,
          caches: servesHalves() ? 'bfloat16' : 'float32',
        }).total.stateBytes,
        tokensPerStep: first.tokens * spec.batch.size,
        device: device.id,
        deviceDetail: device.detail,
        threads: device.threads,
        precision: spec.precision,
        kernelVersion: device.kernelVersion,
        fallbacks: fallbacks(),
      },
    });
    const meter = loadMeter();
    let known = fallbacks().length;
    const outcome = await train({
      spec,
      model,
      optimiser,
      data,
      control,
      emit,
      start: { step, tokens: checkpoint?.tokens ?? 0, seconds: checkpoint?.seconds ?? 0 },
      save: (progress, final) => save(progress, final),
      sample: sampler(spec, model, data, control, warn),
      tick(progress) {
        options.stepped?.(progress.step);
        const asked = control.takeThreads();
        if (asked !== undefined && device.id === 'cpu') device.threads = setThreads(asked);
        const load = control.paused ? undefined : meter(progress.step);
        if (load) emit(load);
        // Which calls fall back is known once they were made.
        const all = fallbacks();
        if (all.length > known)
          emit({
            kind: 'warning',
            step: progress.step,
            code: 'fallback',
            message: all.slice(known).join(' '),
          });
        known = all.length;
      },
    });
    const redraws = data.redraws?.() ?? 0;
    if (redraws)
      emit({
        kind: 'warning',
        step: outcome.progress.step,
        code: 'redrawn_rows',
        message: `${redraws} training rows were drawn anew, because the test rows hold them.`,
      });
    return outcome;
  } finally {
    optimiser.dispose();
    model.dispose();
  }

  async function save({ step, tokens, seconds }: Progress, final: boolean): Promise<void> {
    const tensors = [];
    for await (const entry of tensorsToSave(model, optimiser)) tensors.push(entry);
    const facts = {
      step,
      tokens,
      seconds,
      cursor: step * spec.batch.accumulation,
      seed: spec.seed,
      data: data.fingerprint,
      final,
      device: device.id,
      threads: device.threads,
      precision: spec.precision,
    };
    let told = failing && !final;
    const end = Date.now() + options.patience();
    for (;;)
      try {
        const { file, sizeBytes } = saveCheckpoint(folder, facts, tensors, {
          keep: spec.checkpoint.keep,
          fs: options.checkpointFs,
        });
        emit({ kind: 'checkpoint', step, file, sizeBytes, final });
        failing = false;
        return;
      } catch (error) {
        const reason = (error as Error).message;
        if (!told)
          emit({
            kind: 'warning',
            step,
            code: 'checkpoint_failed',
            message: `The checkpoint of step ${step} could not be written (${reason}). Free some space in ${folder}; ${final ? 'the run waits for it' : 'training goes on, and older checkpoints are as they were'}.`,
          });
        told = true;
        failing = true;
        if (!final) return;
        if (Date.now() >= end)
          throw new SpecError(
            `The last checkpoint could not be written (${reason}). Free some space and resume: the run goes on from an older one.`,
            folder,
          );
        await pause(Math.min(RETRY_MS, options.patience()));
      }
  }
}
