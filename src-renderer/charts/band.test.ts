// Means and deviations over seeds against plain loops, on steps that do not match.
import { expect, it } from 'vitest';
import type { Points } from '../stores/points';
import { aggregate, meanStd } from './band';

const points = (run: string, step: number[], value: number[], pace = 1): Points => ({
  run,
  name: 'loss/train',
  step,
  tokens: step.map((s) => s * 100),
  seconds: step.map((s) => s * pace),
  value,
  raw: step.length,
});

it('agrees with two-pass loops on ragged steps', () => {
  const seeds = [
    points('a', [1, 2, 3, 5, 8], [5, 4, 3.5, 3, 2.9]),
    points('b', [1, 3, 4, 5], [5.5, 3.25, Number.NaN, 3.125]),
    points('c', [2, 5, 8, 13], [4.25, 2.875, 2.75, 2.5]),
  ];
  const band = aggregate(seeds);
  // Step 4 has no finite value at all.
  expect(band.step).toEqual([1, 2, 3, 5, 8, 13]);
  for (const [i, step] of band.step.entries()) {
    const values = seeds.flatMap((seed) => seed.value.filter((v, j) => seed.step[j] === step && Number.isFinite(v)));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.length > 1 ? values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1) : 0;
    expect(band.n[i]).toBe(values.length);
    // A few additions of doubles near 5.
    expect(Math.abs(band.mean[i]! - mean)).toBeLessThan(1e-14);
    expect(Math.abs(band.std[i]! - Math.sqrt(variance))).toBeLessThan(1e-14);
  }
});

it('does not lose a small spread beside a large mean', () => {
  const band = aggregate([points('a', [1], [1e8]), points('b', [1], [1e8 + 1]), points('c', [1], [1e8 + 2])]);
  expect(band.std[0]).toBeCloseTo(1, 6);
});

it('never lets the mean time run backwards when a slow seed ends early', () => {
  const { seconds } = aggregate([points('slow', [1, 2], [1, 1], 10), points('fast', [1, 2, 3], [1, 1, 1], 1)]);
  expect(seconds).toEqual([5.5, 11, 11]);
});

it('is empty for nothing', () => {
  expect(aggregate([]).step).toEqual([]);
});

it('sums up plain numbers', () => {
  expect(meanStd([])).toBeNull();
  expect(meanStd([Number.NaN])).toBeNull();
  expect(meanStd([2])).toEqual({ mean: 2, std: 0, n: 1 });
  expect(meanStd([1, 3])).toEqual({ mean: 2, std: Math.SQRT2, n: 2 });
});
