// Finding, splicing and appending points.
import { expect, it } from 'vitest';
import { append } from './merge';
import { lowerBound, nearestIndex, type Points, splice, stepsWithin, withFlops, xOf } from './points';

const points = (step: number[], value = step.map(Number), raw = step.length): Points => ({
  run: 'r',
  name: 'loss/train',
  step: [...step],
  tokens: step.map((s) => s * 10),
  seconds: step.map((s) => s / 2),
  value: [...value],
  raw,
});

it('finds the first that is not below, and the nearest', () => {
  const xs = [1, 3, 3, 7];
  expect([0, 1, 2, 3, 4, 7, 8].map((x) => lowerBound(xs, x))).toEqual([0, 0, 1, 1, 3, 3, 4]);
  expect([0, 1.9, 2.1, 5, 5.1, 99].map((x) => nearestIndex(xs, x))).toEqual([0, 0, 1, 2, 3, 3]);
  expect(nearestIndex([], 1)).toBe(-1);
});

it('puts detail in the place of the overview', () => {
  const joined = splice(points([0, 10, 20, 30], undefined, 31), points([9, 10, 11, 20, 21]));
  expect(joined.step).toEqual([0, 9, 10, 11, 20, 21, 30]);
  expect(joined.tokens).toEqual([0, 90, 100, 110, 200, 210, 300]);
  expect(joined.raw).toBe(7);
  expect(splice(points([0, 10, 20, 30], undefined, 31), points([9, 11], undefined, 3)).raw).toBe(31);
});

it('asks for the steps of a range with one more on either side', () => {
  expect(stepsWithin(points([0, 10, 20, 30]), 'tokens', [120, 180])).toEqual([10, 20]);
  expect(stepsWithin(points([0, 10, 20, 30]), 'step', [-5, 500])).toEqual([0, 30]);
  expect(stepsWithin(points([]), 'step', [0, 1])).toBeNull();
});

it('lies on the axis of FLOPs once the cost of a token is known', () => {
  const bare = points([0, 10, 20]);
  expect(xOf(bare, 'flops')).toEqual([]);
  expect(withFlops(bare, null)).toBe(bare);
  const costed = withFlops(bare, 3);
  expect(xOf(costed, 'flops')).toEqual([0, 300, 600]);
  // The same objects again, so that what was computed from them is found.
  expect(withFlops(bare, 3)).toBe(costed);
  expect(xOf(costed, 'flops')).toBe(xOf(costed, 'flops'));
  expect(stepsWithin(costed, 'flops', [310, 590])).toEqual([10, 20]);
  expect(stepsWithin(bare, 'flops', [310, 590])).toBeNull();
});

it('appends in place and hands out a new object', () => {
  const before = points([1, 2]);
  const after = append(before, points([3, 4]));
  expect(after).not.toBe(before);
  expect(after.step).toBe(before.step);
  expect(after.step).toEqual([1, 2, 3, 4]);
  expect(after.raw).toBe(4);
  expect(append(after, points([]))).toBe(after);
});

it('lets a resumed run do steps anew, and keeps older ones that it has not come to', () => {
  const after = append(points([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]), points([3, 4], [30, 40]));
  expect(after.step).toEqual([1, 2, 3, 4, 5]);
  expect(after.value).toEqual([1, 2, 30, 40, 5]);
  expect(after.raw).toBe(5);
});

it('does not count a point that comes twice', () => {
  const after = append(points([1, 2, 3]), points([3]));
  expect(after.step).toEqual([1, 2, 3]);
  expect(after.raw).toBe(3);
});
