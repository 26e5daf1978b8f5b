// Captured steps of bfloat16 keep in 16 bits what every reader rounds: fewer bytes, and the bits of the step computed op by op.
import type { Variable } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocks } from '../blocks';
import { memoryFacts, poisonBuffers, useDevice } from '../ops';
import { ADAMW, BLOCKS, benchModel, benchPart, VOCABULARY } from './bench-models';
import { buildModel } from './build';
import { makeOptimiser } from './optimiser';
import { makeStep } from './step';

const size = { layers: 2, width: 64, tokens: 21, batch: 2, headDim: 16 };
const STEPS = 7;

/** Losses, norms and weights after some steps, and what the last of them kept in 16 bits. */
async function train(block: string, captured: boolean) {
  const model = buildModel(benchModel(block, size), {
    vocabulary: VOCABULARY,
    tokens: size.tokens,
    seed: 1,
    order: 'any',
  });
  const optimiser = makeOptimiser(ADAMW, model.weights as Map<string, Variable>, model.specs);
  const step = makeStep({ model, optimiser, clip: 1, labelSmoothing: 0, captured });
  const results = [];
  for (let i = 0; i < STEPS; i++) results.push(await step.run([benchPart(size)], 1e-3, { step: i }));
  const weights = [...model.weights.values()].map(
    (one) => new Int32Array((one.dataSync() as Float32Array).slice().buffer),
  );
  const { halves, played, arenaBytes } = step;
  step.dispose();
  optimiser.dispose();
  model.dispose();
  return { results, weights, halves, played, arenaBytes };
}

describe('halves of a captured step', () => {
  beforeAll(async () => {
    poisonBuffers(true);
    await useDevice('cpu', { threads: 2, precision: 'bfloat16' });
  });
  afterAll(() => {
    poisonBuffers(false);
    expect(memoryFacts().arenaBytes).toBe(0);
  });

  it.each(BLOCKS)(
    '%s: the same bits as computed, with at least the inputs and slopes of its MLP in 16 bits',
    async (block) => {
      expect(blocks.has(block)).toBe(true);
      const wanted = await train(block, false);
      const got = await train(block, true);
      expect(got.played).toBeGreaterThan(0);
      expect(wanted.halves).toBe(0);
      // Of each layer: the norm before the MLP, what goes into its last map, and the slopes of gate and up; and the last norm.
      expect(got.halves).toBeGreaterThanOrEqual(4 * size.layers + 1);
      expect(got.results).toEqual(wanted.results);
      expect(got.weights).toEqual(wanted.weights);
    },
  );

  it('float32 has none, and a step that changes its precision is captured anew', async () => {
    const model = buildModel(benchModel('softmax_attention', size), {
      vocabulary: VOCABULARY,
      tokens: size.tokens,
      seed: 1,
    });
    const optimiser = makeOptimiser(ADAMW, model.weights as Map<string, Variable>, model.specs);
    const step = makeStep({ model, optimiser, clip: 1, labelSmoothing: 0, captured: true });
    const seen: number[] = [];
    const losses: number[] = [];
    for (const precision of ['bfloat16', 'float32', 'bfloat16', 'float32'] as const) {
      await useDevice('cpu', { threads: 2, precision });
      for (let i = 0; i < 5; i++) losses.push((await step.run([benchPart(size)], 0)).loss); // a rate of 0: the weights stay
      seen.push(step.halves);
    }
    expect(seen[0]).toBeGreaterThan(0);
    expect(seen).toEqual([seen[0], 0, seen[0], 0]);
    const [rounded, exact] = [losses[0], losses[5]];
    expect(exact).not.toBe(rounded);
    expect(losses).toEqual([rounded, exact, rounded, exact].flatMap((loss) => Array(5).fill(loss)));
    step.dispose();
    optimiser.dispose();
    model.dispose();
    await useDevice('cpu', { threads: 2, precision: 'bfloat16' });
  });
});
