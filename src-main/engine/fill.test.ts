// Filling in: only what is hidden changes, the choice follows the logits and the seed, and wrong ids are refused.
import { beforeEach, expect, it } from 'vitest';
import { memoryFacts, tf, useDevice } from '../ops';
import { buildModel } from './build';
import { fillIn } from './fill';

beforeEach(() => useDevice('cpu', { threads: 1 }).then(() => {}));

const make = () =>
  buildModel(
    {
      format: 'archlab.model/1',
      width: 8,
      positions: 'learned',
      layers: [{ block: 'softmax_attention', options: { heads: 2, causal: false } }],
      finalNorm: 'rms',
      head: { tied: true },
    },
    { vocabulary: 11, tokens: 6, seed: 4, order: 'any' },
  );

it('fills hidden places alone, never with the mask, by the seed', async () => {
  const model = make();
  const before = memoryFacts().tensors;
  const options = { maskToken: 10, temperature: 5 };
  const given = [3, 10, 5, 10, 10, 1];
  const several = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((seed) => fillIn(model, given, { ...options, seed })));
  for (const filled of several) {
    expect([filled[0], filled[2], filled[5]]).toEqual([3, 5, 1]);
    expect(filled).not.toContain(10);
  }
  expect(new Set(several.map(String)).size).toBeGreaterThan(1);
  expect(await fillIn(model, given, { ...options, seed: 3 })).toEqual(several[2]);
  expect(await fillIn(model, [1, 2], { ...options, seed: 1 })).toEqual([1, 2]);
  expect(memoryFacts().tensors).toBe(before);
  await expect(fillIn(model, [1, 11], { ...options, seed: 1 })).rejects.toThrow(
    'token 11 of the text is not a whole number from 0 to 10',
  );
  await expect(fillIn(model, [1, 10, 1, 1, 1, 1, 1], { ...options, seed: 1 })).rejects.toThrow(
    '7 tokens do not fit a learned table of 6 positions',
  );
  expect(memoryFacts().tensors).toBe(before);
  model.dispose();
});

it('fills the surest places first, pass by pass, and ends where it is told', async () => {
  const model = make();
  const before = memoryFacts().tensors;
  const given = [3, 10, 5, 10, 10, 1];
  const options = { maskToken: 10, temperature: 0, seed: 1 };
  const seen: [number[], number][] = [];
  const filled = await fillIn(model, given, {
    ...options,
    passes: 3,
    onPass: (ids, open) => void seen.push([[...ids], open]),
  });
  expect(seen.map(([, open]) => open)).toEqual([2, 1, 0]);
  expect(seen[2][0]).toEqual(filled);
  // What a pass filled stays, and the first one chose the place whose likeliest token has the largest share.
  for (const [i, [ids]] of seen.entries())
    for (const [t, id] of ids.entries()) if (id !== 10) for (const [later] of seen.slice(i)) expect(later[t]).toBe(id);
  const logits = tf.tidy(() => model.logits(tf.tensor2d([given], [1, 6], 'int32')).dataSync());
  const share = (t: number) => {
    const row = Array.from(logits.subarray(t * 11, t * 11 + 10)).map(Math.exp);
    return Math.max(...row) / row.reduce((a, b) => a + b);
  };
  const surest = [1, 3, 4].sort((a, b) => share(b) - share(a))[0];
  expect(seen[0][0].map((id, t) => (id === given[t] ? -1 : t)).filter((t) => t >= 0)).toEqual([surest]);

  expect(await fillIn(model, given, { ...options, passes: 50 })).toEqual(filled);
  const broken = await fillIn(model, given, { ...options, passes: 3, onPass: () => false });
  expect(broken.filter((id) => id === 10)).toHaveLength(2);
  await expect(fillIn(model, given, { ...options, passes: 0 })).rejects.toThrow('passes 0 does not fit');
  expect(memoryFacts().tensors).toBe(before);
  model.dispose();
});
