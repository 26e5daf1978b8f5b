// Decoding in bfloat16: copies of weights and caches of 16 bits give the logits of whole sequences, and take the bytes that the cost model says.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memoryFacts, poisonBuffers, tf, useDevice, watchKernels } from '../ops';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';
import { DECODABLE, tokenIds } from './bench-models';
import { buildModel, type Model } from './build';
import { inspect } from './cost';
import { disposeState, stateBytesOf } from './decode';

const VOCABULARY = 40;
const WIDTH = 64;

beforeAll(async () => {
  await useDevice('cpu', { threads: 2, precision: 'bfloat16' });
  poisonBuffers(true);
});
afterAll(() => useDevice('cpu', { threads: 2 }));

const SMALL: Record<string, Record<string, unknown>> = {
  mamba2: { dState: 8, headDim: 16 },
  rwkv7: { headDim: 16 },
  atlas: { heads: 2, headDim: 4, chunk: 4, window: 3 },
};
const specOf = (block: string, options: Record<string, unknown> = SMALL[block] ?? {}): ModelSpec => ({
  format: MODEL_FORMAT,
  name: 'small',
  width: WIDTH,
  positions: 'none',
  layers: [{ repeat: 2, layers: [{ block, options } as Node, { block: 'gated_mlp' }] }],
  finalNorm: 'rms',
  head: { tied: true },
});
const build = (spec: ModelSpec) => buildModel(spec, { vocabulary: VOCABULARY, tokens: 200, seed: 3 });
const idsOf = (count: number) => tokenIds(count).map((id) => id % VOCABULARY);

function decode(model: Model, count: number, captured: boolean) {
  let state = model.begin(1, { captured });
  const logits: number[][] = [];
  for (const id of idsOf(count)) {
    const token = tf.tensor1d([id], 'int32');
    const done = model.step(token, state);
    state = done.state;
    logits.push(Array.from(done.logits.dataSync()));
    tf.dispose([token, done.logits]);
  }
  const { played } = state;
  const bytes = stateBytesOf(state);
  disposeState(state);
  return { logits, played, bytes };
}

/**
 * Rounding to bfloat16 changes a number by up to 2^-9 of itself. Whole sequences round shares and queries besides, and a decoded state is rounded in
 * another order, so each of the four layers' four products in a row may differ by as much: of the largest logit.
 */
const ALLOWED = 16 * 2 ** -9;

describe.each(DECODABLE)('%s', (block) => {
  it('decodes to the logits of the whole sequence, captured to the same bits as op by op', () => {
    const { tensors, bytes: held } = memoryFacts();
    const spec = specOf(block);
    const model = build(spec);
    const count = 140; // past the first room of a cache
    const plain = decode(model, count, false);
    const captured = decode(model, count, true);
    expect(captured.played).toBeGreaterThan(count - 16);
    expect(captured.logits).toEqual(plain.logits);
    const context = { tokens: count, vocabulary: VOCABULARY, caches: 'bfloat16' } as const;
    expect(captured.bytes).toBe(inspect(spec, context).total.stateBytes);
    const ids = tf.tensor2d(idsOf(count), [1, count], 'int32');
    const whole = model.logits(ids);
    const values = whole.dataSync() as Float32Array;
    const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const errors = captured.logits.flat().map((value, i) => Math.abs(value - values[i]) / most);
    expect(Math.max(...errors)).toBeLessThan(ALLOWED);
    tf.dispose([ids, whole]);
    model.dispose();
    expect(memoryFacts()).toMatchObject({ tensors, bytes: held });
  });
});

it('reads no weight of a product in 32 bits', () => {
  const model = build(specOf('softmax_attention'));
  const kernels = new Set<string>();
  watchKernels(
    ({ kernel }) => kernels.add(kernel),
    () => decode(model, 3, false),
  );
  expect([...kernels].filter((name) => /Linear|MatMul|AttentionDecode|Append/.test(name)).sort()).toEqual([
    'AttentionDecodeHalves',
    'HalvesAppend',
    'ServedLinear',
    'ServedMatMul',
  ]);
  model.dispose();
});

it('keeps caches of an odd width in whole words, and reads them back for a temperature that adapts', () => {
  const spec = specOf('softmax_attention', { heads: 3, headDim: 7, ropeFraction: 0, adaptiveTemperature: true });
  const model = build(spec);
  const done = decode(model, 12, true);
  expect(done.bytes).toBe(2 * 2 * 12 * 3 * 4 * 4); // layers, keys and values, tokens, heads, words, bytes
  expect(done.logits.flat().every(Number.isFinite)).toBe(true);
  model.dispose();
});
