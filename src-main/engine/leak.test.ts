// Memory over many training steps: tensors, buffers and the pool must not grow by a single byte.
import { expect, it } from 'vitest';
import { memoryFacts, tf, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec } from '../spec/model';
import { buildModel } from './build';
import { gradientsOf } from './gradient';
import { makeOptimiser } from './optimiser';

const STEPS = 2000;
const model: ModelSpec = {
  format: MODEL_FORMAT,
  width: 8,
  positions: 'none',
  layers: [
    { block: 'softmax_attention', options: { heads: 2 } },
    { block: 'mamba2', options: { headDim: 4, dState: 4 } },
    { block: 'gated_mlp', options: { roundTo: 8 } },
  ],
  finalNorm: 'rms',
  head: { tied: true },
};

it(`stays flat over ${STEPS} training steps`, { timeout: 180_000 }, async () => {
  const { detail } = await useDevice('cpu', { threads: 1 });
  const steps = detail.startsWith('JavaScript') ? 50 : STEPS; // the same counts, in the time that a test has
  const built = buildModel(model, { vocabulary: 11, tokens: 5, seed: 1 });
  const optimiser = makeOptimiser(
    { kind: 'adamw', lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
    built.weights,
    built.specs,
  );
  const part = {
    size: 2,
    tokens: 5,
    inputs: Int32Array.from({ length: 10 }, (_, i) => i),
    targets: Int32Array.from({ length: 10 }, (_, i) => i + 1),
    mask: null,
  };
  const step = () => {
    const { loss, gradients } = gradientsOf(built, [part], 0);
    optimiser.update(gradients, 1e-3);
    const value = loss.dataSync()[0];
    tf.dispose([loss, ...gradients.values()]);
    return value;
  };
  const first = step();
  for (let i = 0; i < 9; i++) step();
  const before = memoryFacts();
  let last = first;
  for (let i = 10; i < steps; i++) last = step();
  expect(memoryFacts()).toEqual(before);
  expect(last).toBeLessThan(first); // it did train
  optimiser.dispose();
  built.dispose();
});
