// Logarithms of decays: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { sizeOf } from '../core/kernel';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { logDecay, logDecayGrad } from './kernel';
import { plain } from './plain';

// Elementwise: the roundings of Exp, Log and a few more; the gradient reads y, whose own rounding counts once more.
const tolerance = 1e-6;
const check = (shape: number[], share: number, floor = -Infinity) => ({
  forward: logDecay,
  gradient: logDecayGrad,
  plain,
  shapes: { x: shape },
  inputs: { x: draw(sizeOf(shape), 3).map((u) => Math.fround(6 * u)) },
  attrs: { share, floor },
});

describe.each(natives())('LogDecay on $isa', (native) => {
  it('agrees with the plain loops at odd lengths, over several parts, with a floor and without', () => {
    for (const shape of [[0], [1], [3], [2, 15], [2, 33], [10001]])
      for (const [share, floor] of [
        [1, -Infinity],
        [1 / 16, -Infinity],
        [0.5, -1.1],
      ])
        expectAgreement(native, check(shape, share, floor), tolerance);
  });

  it('keeps its digits at both ends, and lets NaN through', () => {
    const x = Float64Array.of(Number.NaN, 80, -200, 20);
    const attrs = { share: 0.25, floor: -Infinity };
    const { y } = native.run(logDecay, { x }, { x: [4] }, attrs);
    expect(y[0]).toBeNaN();
    const { dx } = native.run(logDecayGrad, { y, dy: new Float64Array(4).fill(1) }, { y: [4] }, attrs);
    for (const [i, due] of [-Math.exp(-80) / 4, -50, -Math.exp(-20) / 4].entries())
      expect(Math.abs(y[i + 1] / due - 1)).toBeLessThan(1e-6);
    for (const [i, due] of [Math.exp(-80) / 4, 0.25, Math.exp(-20) / 4].entries())
      expect(Math.abs(dx[i + 1] / due - 1)).toBeLessThan(1e-6);
  });
});

describe('plain LogDecay', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(check([2, 5], 0.5));
    expectSlopes(check([3, 5], 0.5, -1));
  });

  it('refuses a share of 0 and a floor above it', () => {
    expect(logDecay.refuses?.({ x: [2] }, { share: 0, floor: -1 })).toMatch(/share must be above 0/);
    expect(logDecay.refuses?.({ x: [2] }, { share: 1, floor: 1 })).toMatch(/floor must be at most 0/);
  });
});
