// Student's t against the tables of its quantiles, and Welch's test against a worked example.
import { expect, it } from 'vitest';
import { againstLowest, halfWidth95, studentTail, welch } from './significance';

it('agrees with the tables of Student’s t: two-sided 5 % and 1 %', () => {
  for (const [df, five, one] of [
    [1, 12.7062, 63.6567],
    [2, 4.30265, 9.92484],
    [4, 2.77645, 4.60409],
    [10, 2.22814, 3.16927],
    [30, 2.04227, 2.75],
    [120, 1.97993, 2.61742],
  ]) {
    // The tables give six digits, so the tail is right to about as many.
    expect(studentTail(five, df)).toBeCloseTo(0.05, 6);
    expect(studentTail(-one, df)).toBeCloseTo(0.01, 6);
  }
  expect(studentTail(0, 7)).toBe(1);
  // With one degree of freedom it is Cauchy's: 1 - 2/π · atan t; with two 1 - t/√(2 + t²).
  for (const t of [0.1, 1, 3, 50]) {
    expect(studentTail(t, 1)).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(t), 12);
    expect(studentTail(t, 2)).toBeCloseTo(1 - t / Math.sqrt(2 + t * t), 12);
  }
});

it('is Student’s own test where both sides are alike', () => {
  const a = { mean: 2, std: 0.1, n: 3 };
  const b = { mean: 2.3, std: 0.1, n: 3 };
  // t = 0.3 / (0.1 · √(2/3)) = 3.674 with four degrees of freedom, whose tail is 1 - x(3 - x²)/2 at x = t/√(4 + t²).
  const x = 3.6742346 / Math.sqrt(4 + 3.6742346 ** 2);
  expect(welch(a, b)).toBeCloseTo(1 - (x * (3 - x * x)) / 2, 7);
  expect(welch(b, a)).toBe(welch(a, b));
});

it('says nothing of one seed, and nothing where nothing strays', () => {
  expect(welch({ mean: 1, std: 0, n: 1 }, { mean: 2, std: 0.1, n: 5 })).toBeNull();
  expect(welch({ mean: 1, std: 0, n: 3 }, { mean: 2, std: 0, n: 3 })).toBeNull();
  expect(halfWidth95({ std: 1, n: 1 })).toBeNull();
});

it('is the same test at any scale, and none where numbers have no end', () => {
  const a = { mean: 2, std: 0.1, n: 3 };
  const b = { mean: 2.3, std: 0.2, n: 4 };
  const scaled = ({ mean, std, n }: typeof a, by: number) => ({ mean: mean * by, std: std * by, n });
  for (const by of [1e-120, 1e-9, 1e9, 1e120]) expect(welch(scaled(a, by), scaled(b, by))).toBeCloseTo(welch(a, b)!, 9);
  for (const std of [Number.NaN, Number.POSITIVE_INFINITY, 1e300]) expect(welch(a, { ...b, std })).toBeNull();
});

it('tests each against the lowest, and that against none', () => {
  const [low, high] = [
    { mean: 1, std: 0.1, n: 3 },
    { mean: 2, std: 0.1, n: 3 },
  ];
  expect(againstLowest([high, null, low, { ...low, mean: 0.9, n: 1 }])).toEqual([null, null, null, null]);
  expect(againstLowest([high, null, low])).toEqual([welch(high, low), null, null]);
  expect(againstLowest([])).toEqual([]);
});

it('gives the 95 % interval of a mean', () => {
  expect(halfWidth95({ std: 1, n: 2 })).toBeCloseTo(12.7062 / Math.SQRT2, 3);
  expect(halfWidth95({ std: 0.2, n: 5 })).toBeCloseTo((2.77645 * 0.2) / Math.sqrt(5), 5);
});
