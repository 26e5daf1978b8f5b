// Captured decoding: the same bits as computed op by op for every block, over growing caches, and what is fed anew for each token.
import { beforeAll, describe, expect, it } from 'vitest';
import { blocks } from '../blocks';
import { memoryFacts, poisonBuffers, tf, useDevice } from '../ops';
import { nativeBackend } from '../ops/native/register';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';
import { DECODABLE, tokenIds } from './bench-models';
import { buildModel, type Model } from './build';
import { inspect } from './cost';
import { type DecodeOptions, disposeState, setBack, stateBytesOf } from './decode';

const VOCABULARY = 11;
const WIDTH = 32;

beforeAll(async () => {
  await useDevice('cpu', { threads: 2 });
  poisonBuffers(true);
});

const specOf = (layers: Node[], positions: ModelSpec['positions'] = 'none'): ModelSpec => ({
  format: MODEL_FORMAT,
  name: 'small',
  width: WIDTH,
  positions,
  layers,
  finalNorm: 'rms',
  head: { tied: true },
});
const SMALL: Record<string, Record<string, unknown>> = {
  mamba2: { dState: 8, headDim: 16 },
  rwkv7: { headDim: 16 },
  atlas: { heads: 2, headDim: 4, chunk: 4, window: 3 },
};
const twice = (block: string, options = SMALL[block] ?? {}): Node[] => [
  { repeat: 2, layers: [{ block, options }, { block: 'gated_mlp' }] },
];
const build = (spec: ModelSpec) => buildModel(spec, { vocabulary: VOCABULARY, tokens: 200, seed: 3 });

/** The logits of each token, and how many steps were played back. */
function decode(model: Model, count: number, options: DecodeOptions, batch = 2) {
  const ids = tokenIds(count * batch).map((id) => id % VOCABULARY);
  let state = model.begin(batch, options);
  const logits: number[][] = [];
  const tensors: number[] = [];
  for (let t = 0; t < count; t++) {
    const token = tf.tensor1d(ids.subarray(t * batch, (t + 1) * batch), 'int32');
    const done = model.step(token, state);
    state = done.state;
    logits.push(Array.from(done.logits.dataSync()));
    tf.dispose([token, done.logits]);
    tensors.push(memoryFacts().tensors);
  }
  const { played } = state;
  const bytes = stateBytesOf(state);
  disposeState(state);
  return { logits, played, bytes, tensors };
}

describe.each(DECODABLE)('%s', (block) => {
  it('decodes captured to the same bits as op by op', () => {
    const start = memoryFacts().tensors;
    const spec = specOf(twice(block));
    const model = build(spec);
    const count = blocks.get(block)!.state!({ ...SMALL[block], heads: 4 }, WIDTH) && 140; // past the first room of a cache
    const plain = decode(model, count, { captured: false });
    const captured = decode(model, count, {});
    expect(plain.played).toBe(0);
    // Some steps are computed: until shapes settle, twice to record them, and again after a cache has moved.
    expect(captured.played).toBeGreaterThan(count - 16);
    expect(captured.logits).toEqual(plain.logits);
    expect(captured.bytes).toBe(inspect(spec, { tokens: count, vocabulary: VOCABULARY }).total.stateBytes);
    expect(new Set(captured.tensors.slice(8)).size).toBe(1);
    model.dispose();
    expect(memoryFacts().tensors).toBe(start);
  });
});

describe.each(['learned', 'sinusoidal'] as const)('%s positions', (positions) => {
  it('move on while steps are played back', () => {
    const model = build(specOf([{ block: 'mamba2', options: SMALL.mamba2 }], positions));
    const plain = decode(model, 20, { captured: false });
    const captured = decode(model, 20, {});
    expect(captured.logits).toEqual(plain.logits);
    expect(captured.played).toBeGreaterThan(10);
    model.dispose();
  });
});

it('keeps the weights side by side, and so the caches of a text, also when they have grown', () => {
  const model = build(specOf(twice('softmax_attention')));
  const memories = (tensors: Iterable<tf.Tensor>) =>
    new Set([...tensors].map((tensor) => nativeBackend()!.arrayOf(tensor).buffer)).size;
  let state = model.begin(1);
  for (let t = 0; t < 140; t++) {
    const token = tf.tensor1d([t % VOCABULARY], 'int32');
    const done = model.step(token, state);
    state = done.state;
    tf.dispose([token, done.logits]);
    if (t > 0) expect(memories(state.layers.flatMap((layer) => Object.values(layer)))).toBe(1);
  }
  expect(memories(model.weights.values())).toBe(1);
  expect(state.played).toBeGreaterThan(130);
  disposeState(state);
  model.dispose();
});

it('sees weights that have changed since the step was recorded, where they lie', () => {
  const model = build(specOf(twice('softmax_attention')));
  const before = decode(model, 12, {}).logits;
  const weight = model.weights.get('layers.0.w_q')!;
  weight.assign(tf.mul(weight, 3));
  const after = decode(model, 12, {}).logits;
  expect(after).not.toEqual(before);
  expect(after).toEqual(decode(model, 12, { captured: false }).logits);
  model.dispose();
});

it.each([
  { window: 7, sinks: true },
  { softCap: 2, alibi: true, ropeFraction: 0, sinks: true, heads: 3, headDim: 8 },
])('captures attention with %j', (options) => {
  const model = build(specOf(twice('softmax_attention', { heads: 4, ...options })));
  const captured = decode(model, 24, {});
  expect(captured.played).toBeGreaterThan(10);
  expect(captured.logits).toEqual(decode(model, 24, { captured: false }).logits);
  model.dispose();
});

it('computes what can not be captured: a temperature that adapts to the cache', () => {
  const options = { heads: 2, adaptiveTemperature: true };
  const model = build(specOf(twice('softmax_attention', options)));
  const captured = decode(model, 12, {});
  expect(captured.played).toBe(0);
  expect(captured.logits).toEqual(decode(model, 12, { captured: false }).logits);
  model.dispose();
});

it('goes on from a state made for measuring', () => {
  const model = build(specOf(twice('mla')));
  let state = model.stateAfter(1, 300, (shape) => tf.randomUniform(shape, 0.1, 1));
  expect(stateBytesOf(state)).toBe(
    inspect(specOf(twice('mla')), { tokens: 300, vocabulary: VOCABULARY }).total.stateBytes,
  );
  for (let i = 0; i < 8; i++) {
    const token = tf.tensor1d([i], 'int32');
    const done = model.step(token, state);
    state = done.state;
    expect(done.logits.dataSync().every(Number.isFinite)).toBe(true);
    tf.dispose([token, done.logits]);
  }
  expect(state.position).toBe(308);
  expect(state.played).toBeGreaterThan(3);
  disposeState(state);
  model.dispose();
});

it('gives the same again for a context that was set back', () => {
  const model = build(specOf(twice('softmax_attention')));
  let state = model.begin(1);
  const read = (ids: number[]) =>
    ids.map((id) => {
      const token = tf.tensor1d([id], 'int32');
      const done = model.step(token, state);
      state = done.state;
      const logits = Array.from(done.logits.dataSync());
      tf.dispose([token, done.logits]);
      return logits;
    });
  read([1, 2, 3, 4, 5, 6]);
  const once = read([7, 8, 9]);
  const { played } = state;
  state = setBack(state, 3);
  expect(state.position).toBe(6);
  read([3, 2, 1]);
  state = setBack(state, 3);
  expect(read([7, 8, 9])).toEqual(once);
  expect(state.played).toBe(played + 6); // what was recorded still serves
  disposeState(state);
  model.dispose();
});
