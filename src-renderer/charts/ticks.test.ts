// Ticks are round, lie within the range, and are neither none nor too many.
import { expect, it } from 'vitest';
import { clockTicks, linearTicks, logTicks } from './ticks';

it('linear', () => {
  expect(linearTicks([0, 1], 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(linearTicks([1.37, 5.6], 5)).toEqual([2, 3, 4, 5]);
  expect(linearTicks([3, 3], 5)).toEqual([3]);
});
it('a range of rounding errors alone has one tick, as a single value has', () => {
  const [low, high] = [0.3, 0.1 + 0.2];
  for (const make of [linearTicks, clockTicks]) expect(make([low, high], 5)).toEqual([low]);
  expect(logTicks([low, high], 5)).toEqual([low]);
  expect(linearTicks([1e9, 1e9 + 1e-6], 5)).toEqual([1e9]);
  expect(linearTicks([-high, -low], 5)).toEqual([-high]);
  expect(linearTicks([100, 100.001], 5).length).toBeGreaterThan(2);
});
it('logarithmic, where powers of ten alone would be too few', () => {
  expect(logTicks([1.3, 6], 5)).toEqual(linearTicks([1.3, 6], 5));
  expect(logTicks([0.9, 60], 5)).toEqual([1, 2, 5, 10, 20, 50]);
  expect(logTicks([1e-6, 10], 5)).toEqual([1e-6, 1e-4, 1e-2, 1]);
});
it('clock', () => {
  expect(clockTicks([0, 100], 6)).toEqual([0, 30, 60, 90]);
  expect(clockTicks([0, 4 * 3600], 5)).toEqual([0, 3600, 7200, 10_800, 14_400]);
});
it('always gives two to ten', () => {
  for (const high of [0.5, 1, 2, 3, 7, 9.5, 10, 99, 1e3, 1e6])
    for (const make of [linearTicks, clockTicks]) {
      const ticks = make([0, high], 6);
      expect(ticks.length).toBeGreaterThanOrEqual(2);
      expect(ticks.length).toBeLessThanOrEqual(10);
    }
  for (const high of [1.5, 3, 10, 40, 1e3, 1e5, 1e9, 1e14])
    expect(logTicks([1.01, high * 1.01], 5).length).toBeGreaterThanOrEqual(2);
});
