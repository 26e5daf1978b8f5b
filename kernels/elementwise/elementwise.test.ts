// The accuracy of each function of one array, in units in the last place, on every instruction set; the rest is tested through the ops.
import { describe, expect, it } from 'vitest';
import { natives } from '../core/testing';

/** The function in float64, where it is tried, and the most it may be off: what its formula gives plus a margin. */
const functions: Record<string, { exact: (x: number) => number; range: [number, number]; ulps: number }[]> = {
  Exp: [{ exact: Math.exp, range: [-87, 88.7], ulps: 1 }],
  Expm1: [{ exact: Math.expm1, range: [-3, 3], ulps: 4 }],
  Log: [
    { exact: Math.log, range: [0.001, 3], ulps: 1 },
    { exact: Math.log, range: [1e-45, 1e-37], ulps: 1 }, // below the normal numbers too
    { exact: Math.log, range: [1, 1e6], ulps: 1 },
  ],
  Log1p: [
    { exact: Math.log1p, range: [-0.9, 3], ulps: 3 },
    { exact: Math.log1p, range: [-1e-3, 1e-3], ulps: 3 },
  ],
  Tanh: [{ exact: Math.tanh, range: [-5, 5], ulps: 2 }],
  Sigmoid: [{ exact: (x) => 1 / (1 + Math.exp(-x)), range: [-20, 20], ulps: 3 }],
  Softplus: [{ exact: (x) => Math.log1p(Math.exp(x)), range: [-20, 20], ulps: 3 }],
  Sqrt: [{ exact: Math.sqrt, range: [0, 100], ulps: 0.51 }],
};

const COUNT = 20_001; // odd, so that the last vector is a part of one

for (const native of natives())
  describe(native.isa, () => {
    for (const [name, cases] of Object.entries(functions))
      it(`${name} is right to a few units in the last place`, () => {
        for (const {
          exact,
          range: [low, high],
          ulps,
        } of cases) {
          const x = Float32Array.from({ length: COUNT }, (_, i) => low + ((high - low) * (i + 0.5)) / COUNT);
          const y = new Float32Array(COUNT).fill(Number.NaN);
          native.raw(name, [x], [y], [COUNT], []);
          let worst = 0;
          for (let i = 0; i < COUNT; i++) {
            const right = exact(x[i]);
            const unit = 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(right) || 1e-300))) - 23);
            const off = Math.abs(y[i] - right) / unit;
            if (!(off <= worst)) worst = off;
          }
          expect(worst, `from ${low} to ${high}`).toBeLessThanOrEqual(ulps);
        }
      });
    it('writes no element beyond the last', () => {
      for (const count of [1, 3, 15, 17, 33]) {
        const y = new Float32Array(count + 16).fill(7);
        native.raw('Exp', [new Float32Array(count)], [y], [count], []);
        expect([...y]).toEqual([...new Array(count).fill(1), ...new Array(16).fill(7)]);
      }
    });
  });
