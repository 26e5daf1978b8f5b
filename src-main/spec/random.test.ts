// Streams depend on their keys alone and look uniform.
import { expect, it } from 'vitest';
import { rowHash, stream } from './random';

it('gives the same numbers for the same keys, others for near keys', () => {
  const draw = (...keys: (string | number)[]) => {
    const s = stream(...keys);
    return [s.uniform(), s.uniform(), s.uniform()];
  };
  expect(draw('a', 1)).toEqual(draw('a', 1));
  expect(draw('a', 1)).not.toEqual(draw('a', 2));
  expect(draw('a', 1, 2)).not.toEqual(draw('a', 12));
  // Data of saved runs hang on these numbers, so they may change only with every task's version. Computed apart, in Python.
  expect(draw('mqar', 1, 0).map((x) => x * 2 ** 32)).toEqual([2446246360, 435005913, 3864360324]);
});

it('is uniform over first draws of consecutive keys', () => {
  const bins = new Array(16).fill(0);
  for (let i = 0; i < 16_000; i++) bins[stream('row', 7, i).below(16)] += 1;
  const chi2 = bins.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
  expect(chi2).toBeLessThan(37.7); // 99.9 % of a chi-squared with 15 degrees of freedom
});

it('draws distinct numbers over the whole range', () => {
  const drawn = stream('d').distinct(10, 5, 14);
  expect([...drawn].sort((a, b) => a - b)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
  expect(() => stream('d').distinct(3, 1, 2)).toThrow(/internal/);
});

it('tells rows apart', () => {
  const hashes = new Set<number>();
  for (let a = 0; a < 100; a++) for (let b = 0; b < 100; b++) hashes.add(rowHash([a, 3, b], [b]));
  expect(hashes.size).toBe(10_000);
});
