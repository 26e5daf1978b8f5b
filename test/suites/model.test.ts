// Every block inside a small model: nothing looks ahead, decoding gives the logits of the whole sequence, gradients reach all weights.
import { beforeAll, describe, expect, it } from 'vitest';
import { blocks } from '../../src-main/blocks';
import { buildModel, type Model } from '../../src-main/engine/build';
import { inspect } from '../../src-main/engine/cost';
import { type DecodeState, disposeState, stateBytesOf } from '../../src-main/engine/decode';
import { relativeError } from '../../src-main/engine/parity';
import { memoryFacts, poisonBuffers, tf, useDevice } from '../../src-main/ops';
import { MODEL_FORMAT, type ModelSpec } from '../../src-main/spec/model';
import { defaults } from '../../src-main/spec/options';
import { noise } from './describe';

const VOCABULARY = 11;
const B = 2;
const WIDTH = 64;
const LENGTHS = [1, 9, 70]; // 70 is more than one chunk of the scan

const withBlock = (block: string, positions: ModelSpec['positions'] = 'none'): ModelSpec => ({
  format: MODEL_FORMAT,
  width: WIDTH,
  positions,
  layers: [{ block }, { parallel: [[{ block: 'mlp' }], [{ block, norm: 'layer' }]], combine: 'sum' }],
  finalNorm: 'rms',
  head: { tied: false },
});
const idsOf = (T: number, change?: number): Int32Array =>
  Int32Array.from({ length: B * T }, (_, i) => (((i * 7 + 3) % VOCABULARY) ^ Number(i % T === change)) % VOCABULARY);
const tensor = (ids: Int32Array, T: number) => tf.tensor2d(ids, [B, T], 'int32');
const logitsOf = (model: Model, T: number, change?: number) =>
  tf.tidy(() => model.logits(tensor(idsOf(T, change), T)).arraySync());

beforeAll(async () => {
  await useDevice('cpu');
  poisonBuffers(true); // what a kernel leaves unwritten is NaN
});

/** Blocks whose default options look at no later token, and those that always do. */
const [forward, both] = [true, false].map((causal) =>
  [...blocks.values()].filter((block) => block.causal(defaults(block.options)) === causal).map(({ id }) => id),
);

/** The weights are moved a little, so that a matrix that starts at zero hides nothing. */
function build(block: string, T: number, options: { positions?: ModelSpec['positions']; order?: 'any' } = {}): Model {
  const { positions, order } = options;
  const model = buildModel(withBlock(block, positions), { vocabulary: VOCABULARY, tokens: T, seed: 5, order });
  tf.tidy(() => {
    for (const [name, weight] of model.weights) weight.assign(tf.add(weight, noise(weight.shape, name, 0.02)));
  });
  return model;
}

function expectFiniteGradients(model: Model, T: number): void {
  const before = memoryFacts().tensors;
  tf.tidy(() => {
    const ids = tensor(idsOf(T), T);
    const { value, grads } = tf.variableGrads(() => model.loss(ids, ids, undefined), [...model.weights.values()]);
    expect(value.dataSync()[0]).toBeCloseTo(Math.log(VOCABULARY), 0);
    for (const [name, weight] of model.weights) {
      const gradient = grads[weight.name].dataSync();
      expect(gradient.every(Number.isFinite), name).toBe(true);
      expect(
        gradient.some((g) => g !== 0),
        name,
      ).toBe(true);
    }
  });
  expect(memoryFacts().tensors).toBe(before);
}

describe.each(both)('%s, which looks both ways', (block) => {
  it('is refused by name in a causal model', () => {
    expect(() => build(block, 9)).toThrow(block);
  });

  it('has finite gradients for every weight, and leaves no tensor behind', () => {
    const model = build(block, 9, { positions: 'learned', order: 'any' });
    expectFiniteGradients(model, 9);
    model.dispose();
  });
});

describe.each(forward)('%s', (block) => {
  it('never looks at later tokens', () => {
    const T = 70;
    const model = build(block, T);
    const before = logitsOf(model, T);
    for (const t of [1, 33, 69]) {
      const after = logitsOf(model, T, t);
      for (let b = 0; b < B; b++) {
        // Earlier logits come from the same sums; 1e-6 leaves room for blocks of another size in a kernel.
        for (let s = 0; s < t; s++) expect(relativeError(after[b][s], before[b][s])).toBeLessThan(1e-6);
        expect(relativeError(after[b][t], before[b][t])).toBeGreaterThan(1e-3);
      }
    }
    model.dispose();
  });

  it.each(LENGTHS)('decodes to the logits of the whole sequence: T %i', (T) => {
    const model = build(block, T, { positions: 'sinusoidal' });
    const whole = logitsOf(model, T);
    const ids = idsOf(T);
    const start = memoryFacts().tensors;
    let state: DecodeState = model.begin(B);
    const held: number[] = [];
    for (let t = 0; t < T; t++) {
      const token = tf.tensor1d([ids[t], ids[T + t]], 'int32');
      const done = model.step(token, state);
      state = done.state;
      const rows = done.logits.arraySync();
      // 1e-5: the same sums in another order.
      for (let b = 0; b < B; b++) expect(relativeError(rows[b], whole[b][t])).toBeLessThan(1e-5);
      token.dispose();
      done.logits.dispose();
      held.push(memoryFacts().tensors);
    }
    expect(new Set(held.slice(1)).size).toBeLessThanOrEqual(1); // no step leaves a tensor behind
    expect(stateBytesOf(state)).toBe(inspect(withBlock(block), { tokens: T, vocabulary: VOCABULARY }).total.stateBytes);
    disposeState(state);
    expect(memoryFacts().tensors).toBe(start);
    model.dispose();
  });

  it('has finite gradients for every weight, and leaves no tensor behind', () => {
    const T = 9;
    const model = build(block, T, { positions: 'learned' });
    expectFiniteGradients(model, T);
    model.dispose();
  });

  it('answers an empty batch with a sentence', () => {
    const model = build(block, 4);
    const none = tf.zeros([0, 4], 'int32') as tf.Tensor2D;
    expect(() => model.logits(none)).toThrow('at least one sequence of at least one token, not tokens [0, 4]');
    expect(() => model.begin(0)).toThrow('at least one sequence, not 0');
    none.dispose();
    model.dispose();
  });
});

it('sees a block that does look ahead, so the check above can fail', () => {
  const spec = withBlock('softmax_attention');
  spec.layers = [{ block: 'softmax_attention', options: { causal: false } }];
  const model = buildModel(spec, { vocabulary: VOCABULARY, tokens: 9, seed: 5, order: 'any' });
  const [first] = logitsOf(model, 9)[0];
  expect(relativeError(logitsOf(model, 9, 8)[0][0], first)).toBeGreaterThan(1e-3);
  expect(() => model.begin(1)).toThrow('look at later tokens');
  model.dispose();
});
