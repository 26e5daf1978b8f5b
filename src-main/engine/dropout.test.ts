// Dropout in a model: only in training, the same for the same seed and step, in parts as whole, and by the plain mask where there is no kernel.
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryFacts, tf, useDevice, withReference } from '../ops';
import type { ModelSpec } from '../spec/model';
import { buildModel } from './build';
import { disposeState } from './decode';
import { gradientsOf, type Part, sharesOf } from './gradient';
import { relativeError } from './parity';

const V = 13;
const T = 6;
const spec: ModelSpec = {
  format: 'archlab.model/1',
  width: 10,
  positions: 'none',
  layers: [
    { block: 'dropout', options: { rate: 0.2 } },
    { block: 'gated_mlp' },
    { block: 'softmax_attention', options: { heads: 1 } },
  ],
  finalNorm: 'rms',
  head: { tied: true },
  dropout: { embedding: 0.25, branches: 0.4 },
};
const { dropout: _, ...without } = { ...spec, layers: spec.layers.slice(1) };
const build = (model: ModelSpec, seed = 1) => buildModel(model, { vocabulary: V, tokens: T, seed });
const rows = (from: number, size: number): Part => {
  const ids = Int32Array.from({ length: size * T }, (_, i) => (5 * (i + from * T) + 2) % V);
  return { size, tokens: T, inputs: ids, targets: ids, mask: null };
};

beforeEach(() => useDevice('cpu', { threads: 1 }).then(() => {}));

/** Loss and gradients as plain numbers. */
function slopes(seed: number, parts: Part[], step: number) {
  const model = build(spec, seed);
  const { loss, gradients } = gradientsOf(model, parts, 0, sharesOf(parts), () => step);
  const found = new Map([...gradients].map(([name, tensor]) => [name, tensor.dataSync().slice() as Float32Array]));
  const value = loss.dataSync()[0];
  tf.dispose([loss, ...gradients.values()]);
  model.dispose();
  return { loss: value, gradients: found };
}

describe('dropout', () => {
  it('follows from the seed and the step, and from nothing else', () => {
    const before = memoryFacts().tensors;
    const one = slopes(1, [rows(0, 4)], 3);
    expect(slopes(1, [rows(0, 4)], 3)).toEqual(one);
    expect(slopes(1, [rows(0, 4)], 4).loss).not.toBe(one.loss);
    const model = build(spec);
    expect(model.random).toBe(true);
    model.dispose();
    expect(memoryFacts().tensors).toBe(before);
  });

  it('of a batch in parts is that of the whole', () => {
    const whole = slopes(1, [rows(0, 4)], 3);
    const parts = slopes(1, [rows(0, 2), rows(2, 2)], 3);
    // The same sums in another order.
    expect(Math.abs(parts.loss - whole.loss)).toBeLessThan(1e-5);
    for (const [name, gradient] of whole.gradients)
      expect(relativeError(parts.gradients.get(name)!, gradient), name).toBeLessThan(1e-4);
  });

  it('is the same without a kernel', () => {
    const fused = slopes(1, [rows(0, 3)], 2);
    const reference = withReference(() => slopes(1, [rows(0, 3)], 2));
    expect(Math.abs(fused.loss - reference.loss)).toBeLessThan(1e-5);
    for (const [name, gradient] of fused.gradients)
      expect(relativeError(gradient, reference.gradients.get(name)!), name).toBeLessThan(1e-4);
  });

  it('stays out of evaluation and decoding', () => {
    const [dropping, plain] = [build(spec), build(without)];
    const { inputs } = rows(0, 1);
    const ids = tf.tensor2d(inputs, [1, T], 'int32');
    // Weights are drawn by their names, which the missing block moves: the plain model takes them over.
    for (const [name, weight] of dropping.weights) {
      const moved = name.replace(/^layers\.(\d+)/, (_, n) => `layers.${Number(n) - 1}`);
      plain.weights.get(moved)!.assign(weight);
    }
    const [a, b] = [dropping.logits(ids), plain.logits(ids)];
    expect(a.dataSync()).toEqual(b.dataSync());
    const counter = tf.tensor1d([1, 0], 'int32');
    const training = dropping.logits(ids, { training: true, counter });
    expect(training.dataSync()).not.toEqual(a.dataSync());
    let state = dropping.begin(1);
    for (const [t, id] of inputs.entries()) {
      const token = tf.tensor1d([id], 'int32');
      const done = dropping.step(token, state);
      state = done.state;
      expect(relativeError(done.logits.dataSync(), a.dataSync().subarray(t * V, (t + 1) * V))).toBeLessThan(1e-5);
      tf.dispose([token, done.logits]);
    }
    disposeState(state);
    tf.dispose([ids, a, b, counter, training]);
    dropping.dispose();
    plain.dispose();
  });
});
