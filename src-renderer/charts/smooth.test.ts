// Smoothing against vectors worked out by hand, and against plain double loops.
import { describe, expect, it } from 'vitest';
import { smooth, windowOf } from './smooth';

// All sums are of a few doubles near 1: rounding stays within a few units of 1e-16.
const near = (got: Float64Array, want: number[]) => {
  expect(got.length).toBe(want.length);
  for (const [i, w] of want.entries())
    if (Number.isNaN(w)) expect(got[i]).toBeNaN();
    else expect(Math.abs(got[i]! - w)).toBeLessThan(1e-12);
};

describe('ema', () => {
  it('is debiased: starts at the first value, then weighs by powers of the strength', () => {
    // By hand, with weights 1, 2, 4 from the oldest on: 4; (4 + 2·2)/3; (4 + 2·2 + 4·8)/7.
    near(smooth([4, 2, 8], { kind: 'ema', strength: 0.5 }), [4, 8 / 3, 40 / 7]);
  });
  it('keeps a constant constant at any strength', () => {
    near(smooth([3, 3, 3, 3], { kind: 'ema', strength: 0.99 }), [3, 3, 3, 3]);
  });
  it('leaves gaps and does not let them in', () => {
    near(smooth([4, Number.NaN, 2, Number.POSITIVE_INFINITY], { kind: 'ema', strength: 0.5 }), [
      4,
      Number.NaN,
      8 / 3,
      Number.NaN,
    ]);
  });
});

describe('windows', () => {
  it('are as wide as the memory of an ema', () => {
    expect([0, 0.5, 0.8, 0.9].map(windowOf)).toEqual([1, 3, 9, 19]);
  });
  it('running averages the last three', () => {
    near(smooth([3, 6, 9, 0], { kind: 'running', strength: 0.5 }), [3, 4.5, 6, 5]);
  });
  it('centred averages one on either side, cut off at the ends', () => {
    near(smooth([3, 6, 9, 0], { kind: 'centred', strength: 0.5 }), [4.5, 6, 5, 4.5]);
  });
  it('centred skips gaps', () => {
    near(smooth([3, Number.NaN, 9], { kind: 'centred', strength: 0.5 }), [3, Number.NaN, 9]);
  });
  it('gaussian agrees with the definition in plain loops', () => {
    const values = Array.from({ length: 41 }, (_, i) => (i === 7 ? Number.NaN : Math.sin(i) + i / 10));
    const deviation = 9 / Math.sqrt(12);
    const want = values.map((value, i) => {
      if (Number.isNaN(value)) return Number.NaN;
      let [sum, total] = [0, 0];
      for (const [j, v] of values.entries()) {
        if (Number.isNaN(v) || Math.abs(i - j) > Math.ceil(3 * deviation)) continue;
        const weight = Math.exp(-((i - j) ** 2) / (2 * deviation ** 2));
        sum += weight * v;
        total += weight;
      }
      return sum / total;
    });
    near(smooth(values, { kind: 'gaussian', strength: 0.8 }), want);
  });
  it('gaussian weighs neighbours of a spike by the normal curve', () => {
    const out = smooth([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], { kind: 'gaussian', strength: 0.5 });
    const ratio = Math.exp(-0.5 / (3 / Math.sqrt(12)) ** 2);
    expect(out[4]! / out[5]!).toBeCloseTo(ratio, 12);
    expect(out[4]).toBeCloseTo(out[6]!, 15);
  });
});

it('leaves values alone at strength 0, as a copy', () => {
  const values = [1, Number.NaN, 3];
  for (const kind of ['none', 'ema', 'running', 'centred', 'gaussian'] as const)
    near(smooth(values, { kind, strength: 0 }), values);
});
it('takes nothing and one value', () => {
  for (const kind of ['ema', 'running', 'centred', 'gaussian'] as const) {
    expect(smooth([], { kind, strength: 0.9 })).toHaveLength(0);
    near(smooth([7], { kind, strength: 0.9 }), [7]);
  }
});
