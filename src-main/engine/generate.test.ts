// Sampling: which token is chosen, what a seed fixes, where a text ends, and what is refused.
import { beforeAll, expect, it } from 'vitest';
import { memoryFacts, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec } from '../spec/model';
import { buildModel } from './build';
import { choose, type GenerateOptions, generate } from './generate';

const logits = [1, 3, 2, -1];

beforeAll(async () => {
  await useDevice('reference');
});

it('takes the likeliest at temperature 0, the lower id of two', () => {
  expect(choose(logits, 0.99, { temperature: 0 })).toBe(1);
  expect(choose([0, 5, 5], 0.99, { temperature: 0 })).toBe(1);
});

it('draws by shares', () => {
  const n = 4000;
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) counts[choose(logits, (i + 0.5) / n, { temperature: 0.7 })]++;
  const weights = logits.map((z) => Math.exp(z / 0.7));
  const total = weights.reduce((a, b) => a + b, 0);
  for (const [i, count] of counts.entries()) expect(Math.abs(count / n - weights[i] / total)).toBeLessThan(1 / n);
});

it('keeps to the k likeliest, and to those that hold the share p', () => {
  const all = (sampling: object) =>
    [...new Set(Array.from({ length: 200 }, (_, i) => choose(logits, i / 200, sampling)))].sort();
  expect(all({})).toEqual([0, 1, 2, 3]);
  expect(all({ topK: 2 })).toEqual([1, 2]);
  expect(all({ topP: 0.5 })).toEqual([1]);
  expect(all({ topP: 0.7 })).toEqual([1, 2]);
  expect(all({ topP: 1e-9 })).toEqual([1]);
});

it('walks the ids as a full sort would order them, ties by the smaller id', () => {
  const many = Array.from({ length: 57 }, (_, i) => ((i * 37) % 11) / 4);
  const sorted = many.map((_, i) => i).sort((a, b) => many[b] - many[a] || a - b);
  const weights = sorted.map((i) => Math.exp(many[i]));
  for (const [sampling, count] of [
    [{}, 57],
    [{ topK: 9 }, 9],
    [{ topK: 100 }, 57],
  ] as const) {
    const total = weights.slice(0, count).reduce((a, b) => a + b, 0);
    let below = 0;
    for (const [i, id] of sorted.slice(0, count).entries()) {
      expect(choose(many, (below + weights[i] / 2) / total, sampling)).toBe(id);
      below += weights[i];
    }
  }
});

it('says so when the model has diverged', () => {
  expect(() => choose([0, Number.NaN, 1], 0.5)).toThrow('diverged');
});

const spec = (positions: ModelSpec['positions']): ModelSpec => ({
  format: MODEL_FORMAT,
  width: 8,
  positions,
  layers: [{ block: 'softmax_attention', options: { heads: 2 } }],
  finalNorm: 'rms',
  head: { tied: true },
});

it('repeats by seed, streams, stops when told, and leaves no tensor behind', async () => {
  const model = buildModel(spec('none'), { vocabulary: 7, tokens: 8, seed: 1 });
  const before = memoryFacts().tensors;
  const run = (rest: Partial<GenerateOptions> = {}) =>
    generate(model, { prompt: [1, 2], length: 12, seed: 4, temperature: 2, ...rest });
  const streamed: number[] = [];
  const first = await run({ onToken: (id, index) => (streamed.push(id) === index + 1 ? undefined : false) });
  expect(first).toHaveLength(12);
  expect(streamed).toEqual(first);
  expect(await run()).toEqual(first);
  expect(await run({ seed: 5 })).not.toEqual(first);
  expect(await run({ onToken: (_, index) => index < 3 })).toEqual(first.slice(0, 4));
  expect(await run({ length: 0 })).toEqual([]);
  expect(await run({ prompt: [] })).toHaveLength(12);
  expect(memoryFacts().tensors).toBe(before);
  model.dispose();
});

it('goes on past the end of a learned position table', async () => {
  const model = buildModel(spec('learned'), { vocabulary: 7, tokens: 6, seed: 1 });
  const before = memoryFacts().tensors;
  expect(await generate(model, { prompt: [1, 2, 3, 4, 5, 6, 0, 1], length: 20, seed: 1 })).toHaveLength(20);
  expect(memoryFacts().tensors).toBe(before);
  model.dispose();
});

it('refuses what does not fit, in a sentence', async () => {
  const model = buildModel(spec('none'), { vocabulary: 7, tokens: 8, seed: 1 });
  const wrong = (rest: Partial<GenerateOptions>) => generate(model, { prompt: [], length: 1, seed: 1, ...rest });
  await expect(wrong({ prompt: [7] })).rejects.toThrow('token 7 of the prompt is not a whole number from 0 to 6');
  await expect(wrong({ length: -1 })).rejects.toThrow('-1 is not a number of tokens to add');
  await expect(wrong({ temperature: -1 })).rejects.toThrow('temperature -1');
  await expect(wrong({ topP: 0 })).rejects.toThrow('topP 0');
  await expect(wrong({ topK: 0.5 })).rejects.toThrow('topK 0.5');
  model.dispose();
});
