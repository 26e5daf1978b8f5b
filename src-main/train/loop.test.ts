// The loop in this process, on a tiny model: what it says, what it obeys, and that it leaks nothing.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogue } from '../blocks';
import { buildModel } from '../engine/build';
import { makeOptimiser } from '../engine/optimiser';
import { memoryFacts, useDevice } from '../ops';
import type { RunEventBody } from '../spec/event';
import { parseRun, type RunDraft } from '../spec/run';
import { makeRunData, tasks } from '../tasks';
import { Control } from './control';
import { train } from './loop';

let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-loop-'));
  writeFileSync(join(folder, 'text.txt'), 'the quick brown fox jumps over the lazy dog. '.repeat(60));
  await useDevice('cpu', { threads: 1 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const draft = (rest: Partial<RunDraft> = {}): RunDraft => ({
  format: 'archlab.run/1',
  model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'gated_mlp' }] },
  task: { id: 'text', options: { source: join(folder, 'text.txt'), tokens: 8 } },
  schedule: { kind: 'constant', warmup: 0 },
  budget: { steps: 6 },
  batch: { size: 4 },
  evaluation: { every: 3, batches: 2 },
  samples: { every: 0 },
  checkpoint: { every: 2 },
  ...rest,
});

async function run(rest: Partial<RunDraft> = {}, hook: (event: RunEventBody, control: Control) => void = () => {}) {
  const spec = parseRun(draft(rest), catalogue, tasks);
  const data = makeRunData(spec);
  const model = buildModel(spec.model, { ...data, seed: spec.seed, order: 'any' });
  const optimiser = makeOptimiser(spec.optimiser, model.weights, model.specs);
  const control = new Control();
  const events: RunEventBody[] = [];
  const saves: [number, boolean][] = [];
  const outcome = await train({
    spec,
    model,
    optimiser,
    data,
    control,
    start: { step: 0, tokens: 0, seconds: 0 },
    emit(event) {
      events.push(event);
      hook(event, control);
    },
    async save({ step }, final) {
      saves.push([step, final]);
    },
  });
  const losses = events.flatMap((e) => (e.kind === 'metric' ? [e.values['loss/train']] : []));
  optimiser.dispose();
  model.dispose();
  return { outcome, events, saves, losses, kinds: events.map((e) => (e.kind === 'state' ? e.status : e.kind)) };
}

describe('train', () => {
  it('says every step, evaluates and saves when due, and finishes', async () => {
    const { outcome, events, saves, losses, kinds } = await run();
    expect(outcome).toMatchObject({
      status: 'finished',
      why: 'All 6 steps are done.',
      progress: { step: 6, tokens: 192 },
    });
    expect(kinds).toEqual([
      'running',
      'metric',
      'metric',
      'metric',
      'evaluation',
      'metric',
      'metric',
      'metric',
      'evaluation',
    ]);
    expect(saves).toEqual([
      [2, false],
      [4, false],
      [6, true],
    ]);
    expect(losses[0]).toBeGreaterThan(5);
    expect(losses[5]!).toBeLessThan(losses[0]!);
    const metric = events[1] as Extract<RunEventBody, { kind: 'metric' }>;
    expect(metric).toMatchObject({ step: 1, tokens: 32 });
    expect(Object.keys(metric.values).sort()).toEqual(['grad_norm', 'loss/train', 'lr', 'step_ms', 'tokens_per_s']);
    const evaluation = events.at(-1) as Extract<RunEventBody, { kind: 'evaluation' }>;
    expect(Object.keys(evaluation.values)).toEqual(['loss/validation', 'accuracy/validation']);
  });

  it('ends once an evaluation reaches its goal, with a checkpoint, and says so', async () => {
    const { outcome, saves, kinds } = await run({ budget: { steps: 60, until: { loss: 5.5 } } });
    expect(outcome).toMatchObject({
      status: 'finished',
      why: expect.stringMatching(/^The validation loss reached 5\.5: it is 5\.\d+\.$/),
    });
    expect(outcome.progress.step).toBeLessThan(60);
    expect(outcome.progress.step % 3).toBe(0);
    expect(kinds.at(-1)).toBe('evaluation');
    expect(saves.at(-1)).toEqual([outcome.progress.step, true]);
    const never = await run({ budget: { steps: 6, until: { accuracy: 1 } } });
    expect(never.outcome.why).toBe('All 6 steps are done.');
  });

  it('warns once when the loss rises far above the first', async () => {
    const { events, outcome } = await run({
      optimiser: { kind: 'sgd', lr: 60, momentum: 0.9 },
      clip: null,
      budget: { steps: 12 },
    });
    const warnings = events.filter(({ kind }) => kind === 'warning');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({
      code: 'loss_rose',
      message: expect.stringMatching(/the model unlearns\. Try a lower learning rate \(now 60 at the peak; try 20\)/),
    });
    expect(outcome.progress.step).toBeGreaterThan(0);
    expect((await run()).kinds).not.toContain('warning');
  });

  it('gives the same losses for the same seed, others for another', async () => {
    const { losses } = await run();
    expect((await run()).losses).toEqual(losses);
    expect((await run({ seed: 2 })).losses).not.toEqual(losses);
  });

  it('accumulates parts into the same update as one batch, up to rounding', async () => {
    const whole = (await run()).losses as number[];
    const parts = (await run({ batch: { size: 4, accumulation: 4 } })).losses as number[];
    // Sums in another order: some units in the last place of numbers near 5, growing over six updates.
    for (const [i, loss] of whole.entries()) expect(Math.abs(loss - parts[i])).toBeLessThan(1e-4);
    const mqar = {
      id: 'mqar',
      options: { vocabulary: 64, trainLengths: [16], trainPairs: [2], testLengths: [16, 32], testPairs: [2, 4] },
    };
    const masked = (await run({ task: mqar })).losses as number[];
    const maskedParts = (await run({ task: mqar, batch: { size: 4, accumulation: 2 } })).losses as number[];
    for (const [i, loss] of masked.entries()) expect(Math.abs(loss - maskedParts[i])).toBeLessThan(1e-4);
  });

  it('fills in masked tokens with a model that looks both ways, the same for the same seed, in parts too', async () => {
    const both = {
      objective: { kind: 'masked', maskRatio: 0.4 } as const,
      model: {
        format: 'archlab.model/1' as const,
        width: 8,
        layers: [{ block: 'hydra', options: { headDim: 8, dState: 4 } }, { block: 'gated_mlp' }],
      },
    };
    const { losses, events } = await run(both);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    expect((await run(both)).losses).toEqual(losses);
    expect((await run({ ...both, seed: 2 })).losses).not.toEqual(losses);
    const parts = (await run({ ...both, batch: { size: 4, accumulation: 2 } })).losses as number[];
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss! - parts[i])).toBeLessThan(1e-4);
    const evaluation = events.at(-1) as Extract<RunEventBody, { kind: 'evaluation' }>;
    expect(Object.keys(evaluation.values)).toEqual([
      'loss/validation',
      'accuracy/validation',
      'accuracy_sample/validation',
    ]);
    expect(evaluation.values['loss/validation']).toBeGreaterThan(0);
  });

  it('reports slices of a task that has them, each setting in every evaluation', async () => {
    const options = { vocabulary: 64, trainLengths: [16], trainPairs: [2], testLengths: [16, 32], testPairs: [2, 4] };
    const { events } = await run({ task: { id: 'mqar', options }, evaluation: { every: 0, batches: 1 } });
    const evaluation = events.find((e) => e.kind === 'evaluation')!;
    expect(Object.keys((evaluation as Extract<RunEventBody, { kind: 'evaluation' }>).values)).toEqual(
      ['', '[kv=2]', '[kv=4]', '[len=16]', '[len=32]'].flatMap((slice) =>
        ['loss', 'accuracy', 'accuracy_sample'].map((name) => `${name}/validation${slice}`),
      ),
    );
  });

  it('ends at the first budget that is spent', async () => {
    expect((await run({ budget: { steps: 100, tokens: 65 } })).outcome).toMatchObject({
      progress: { step: 3 },
      why: 'The budget of 65 tokens is used up.',
    });
    expect((await run({ budget: { steps: 100_000, seconds: 0.05 } })).outcome.why).toBe(
      'The budget of 0.05 seconds is used up.',
    );
  });

  it('pauses, makes single steps, goes on, with the same losses as without', async () => {
    const { losses } = await run();
    let paused = 0;
    const stopAndGo = await run({}, (event, control) => {
      if (event.kind === 'metric' && event.step === 2) control.command('pause');
      if (event.kind === 'metric' && event.step === 3) setTimeout(() => control.command('resume'), 20);
      if (event.kind === 'state' && event.status === 'paused') {
        paused += 1;
        setTimeout(() => control.command('step'), 20);
      }
    });
    expect(paused).toBe(1);
    expect(stopAndGo.kinds).toEqual([
      'running',
      'metric',
      'metric',
      'paused',
      'metric',
      'evaluation',
      'running',
      'metric',
      'metric',
      'metric',
      'evaluation',
    ]);
    expect(stopAndGo.losses).toEqual(losses);
    expect(stopAndGo.saves).toEqual([
      [2, false],
      [4, false],
      [6, true],
    ]);
  });

  it('saves where a pause finds it, and stops from a pause', async () => {
    const { outcome, saves } = await run({ checkpoint: { every: 0 } }, (event, control) => {
      if (event.kind === 'metric' && event.step === 3) control.command('pause');
      if (event.kind === 'state' && event.status === 'paused') setTimeout(() => control.command('stop'), 5);
    });
    expect(outcome).toMatchObject({ status: 'stopped', progress: { step: 3 } });
    expect(saves).toEqual([
      [3, false],
      [3, true],
    ]);
  });

  it('stops and is interrupted with a checkpoint', async () => {
    const stopped = await run(
      {},
      (event, control) => event.kind === 'metric' && event.step === 5 && control.command('stop'),
    );
    expect(stopped.outcome).toMatchObject({ status: 'stopped', why: 'Stopped on request.', progress: { step: 5 } });
    expect(stopped.saves.at(-1)).toEqual([5, true]);
    const lost = await run(
      {},
      (event, control) => event.kind === 'metric' && event.step === 5 && control.end('interrupt'),
    );
    expect(lost.outcome).toMatchObject({ status: 'interrupted', progress: { step: 5 } });
    expect(lost.saves.at(-1)).toEqual([5, false]);
  });

  it('stops when the numbers break down, before the weights do, and says what to try', async () => {
    const { outcome, saves } = await run({
      optimiser: { kind: 'sgd', lr: 100, momentum: 0, weightDecay: 10 },
      clip: null,
      budget: { steps: 200 },
      checkpoint: { every: 1 },
    });
    expect(outcome.status).toBe('failed');
    expect(outcome.why).toMatch(
      /^Training broke down at step \d+: the (loss|gradient norm) is (NaN|Infinity)\. Try a lower learning rate \(this step's was 100; try 33 at the peak\), or a longer warm-up \(now 0 steps\), or clipping the gradient norm at 1\./,
    );
    expect(saves.at(-1)).toEqual([outcome.progress.step, false]);
  });

  it('holds its memory flat over 2,000 steps', async () => {
    const marks: { tensors: number; bytes: number }[] = [];
    const { outcome } = await run(
      {
        budget: { steps: 2000 },
        batch: { size: 2 },
        evaluation: { every: 500, batches: 1 },
        checkpoint: { every: 0 },
      },
      (event) => {
        if (event.kind === 'metric' && [10, 1000, 2000].includes(event.step)) {
          const { tensors, bytes } = memoryFacts();
          marks.push({ tensors, bytes });
        }
      },
    );
    expect(outcome.status).toBe('finished');
    expect(marks).toHaveLength(3);
    expect(marks[1]).toEqual(marks[0]);
    expect(marks[2]).toEqual(marks[0]);
  });

  it('leaves no tensor behind', async () => {
    const before = memoryFacts().tensors;
    await run();
    await run({ optimiser: { kind: 'muon', lr: 0.01 }, budget: { steps: 2 } });
    expect(memoryFacts().tensors).toBe(before);
    expect(readdirSync(folder)).toEqual(['text.txt']);
  });
});
