// Every preset learns the bundled text as it comes: 300 steps with a falling loss, and then it decodes, or fills in.
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { catalogue } from '../blocks';
import { buildModel, type Model } from '../engine/build';
import { disposeState } from '../engine/decode';
import { fillIn } from '../engine/fill';
import { makeOptimiser } from '../engine/optimiser';
import { relativeError } from '../engine/parity';
import { presets } from '../engine/presets';
import { memoryFacts, tf, useDevice } from '../ops';
import { parseRun } from '../spec/run';
import { makeRunData, tasks } from '../tasks';
import { Control } from './control';
import { train } from './loop';

const STEPS = 300;
const TOKENS = 40;
const BATCH = 4;
/** What guessing by the counts of the bytes reaches; below it a model has learned from the context. */
const COUNTING = 'loss of counting tokens';

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

beforeEach(() => useDevice('cpu', { threads: 2 }).then(() => {}));

// Some ten seconds at the most on a quiet machine.
describe('every preset', { timeout: 300_000 }, () => {
  it.each(presets)('$id learns and reads token by token', async ({ model: spec, objective: kind = 'next_token' }) => {
    const run = parseRun(
      {
        format: 'archlab.run/1',
        model: spec,
        objective: { kind },
        task: { id: 'text', options: { tokens: TOKENS } },
        optimiser: { kind: 'adamw', lr: 2e-3 },
        budget: { steps: STEPS },
        batch: { size: BATCH },
        evaluation: { every: 0, batches: 8 },
        samples: { every: 0 },
        checkpoint: { every: 0 },
      },
      catalogue,
      tasks,
    );
    const before = memoryFacts().tensors;
    const data = makeRunData(run);
    const order = kind === 'masked' ? 'any' : 'causal';
    const model = buildModel(run.model, { ...data, seed: run.seed, order });
    const optimiser = makeOptimiser(run.optimiser, model.weights, model.specs);
    const losses: number[] = [];
    let validation = Number.NaN;
    const { status } = await train({
      spec: run,
      model,
      optimiser,
      data,
      control: new Control(),
      start: { step: 0, tokens: 0, seconds: 0 },
      emit(event) {
        if (event.kind === 'metric') losses.push(event.values['loss/train'] ?? Number.NaN);
        if (event.kind === 'evaluation') validation = event.values['loss/validation'] ?? Number.NaN;
      },
      save: async () => {},
    });
    expect(status).toBe('finished');
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses.length).toBeGreaterThan(30);
    expect(mean(losses.slice(-20))).toBeLessThan(0.75 * losses[0]);
    expect(validation).toBeLessThan(0.9 * data.levels[COUNTING]);
    if (kind === 'masked') await fillsIn(model, data);
    else await decodes(model, data.batch('validation', 0, 2).inputs);
    optimiser.dispose();
    model.dispose();
    expect(memoryFacts().tensors).toBe(before);
  });
});

/** Logits one token at a time are those of the whole sequence; ids are int32 [2, TOKENS]. */
async function decodes(model: Model, ids: Int32Array): Promise<void> {
  const whole = tf.tidy(() => model.logits(tf.tensor2d(ids, [2, TOKENS], 'int32') as Tensor2D));
  const due = (await whole.data()) as Float32Array;
  const found = new Float32Array(due.length);
  const V = model.vocabulary;
  let state = model.begin(2);
  for (let t = 0; t < TOKENS; t++) {
    const tokens = tf.tensor1d([ids[t], ids[TOKENS + t]], 'int32') as Tensor1D;
    const done = model.step(tokens, state);
    tokens.dispose();
    const logits = (await done.logits.data()) as Float32Array;
    for (const b of [0, 1]) found.set(logits.subarray(b * V, (b + 1) * V), (b * TOKENS + t) * V);
    done.logits.dispose();
    state = done.state;
  }
  disposeState(state);
  whole.dispose();
  // Sums in another order, through a trained model.
  expect(relativeError(found, due)).toBeLessThan(1e-3);
}

/** Hidden tokens are filled in, the others stay, and the mask token never comes out. */
async function fillsIn(model: Model, data: ReturnType<typeof makeRunData>): Promise<void> {
  const { targets, mask } = data.batch('validation', 0, 1);
  const maskToken = data.maskToken!;
  const given = Array.from(targets, (id, t) => (mask![t] ? maskToken : id));
  const filled = await fillIn(model, given, { maskToken, seed: 1, temperature: 0 });
  expect(filled).not.toContain(maskToken);
  expect(filled).toHaveLength(given.length);
  for (const [t, id] of given.entries()) if (id !== maskToken) expect(filled[t]).toBe(id);
  const again = { maskToken, seed: 1, temperature: 1 };
  expect(await fillIn(model, given, again)).toEqual(await fillIn(model, given, again));
}
