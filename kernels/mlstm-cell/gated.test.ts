// The matrix memory with the maps of its gates: native kernels against plain sums, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { gatedMlstm, gatedMlstmGrad } from './kernel';
import { plain } from './plain';

// As the cell by itself, whose gates here carry the rounding of a sum over three tensors' channels.
const tolerance = 8e-6;

function setting(b: number, T: number, H: number, d: number, attrs = {}) {
  const [wide, map] = [
    [b, T, H, d],
    [3 * H * d, H],
  ];
  return {
    forward: gatedMlstm,
    gradient: gatedMlstmGrad,
    plain,
    shapes: { q: wide, k: wide, v: wide, w_i: map, b_i: [H], w_f: map, b_f: [H] },
    attrs,
    inputs: {
      // Gates of about 1 on any number of channels.
      w_i: draw(3 * H * d * H, 3).map((u) => Math.fround(u / Math.sqrt(H * d))),
      w_f: draw(3 * H * d * H, 4).map((u) => Math.fround(u / Math.sqrt(H * d))),
      b_f: draw(H, 5).map((u) => Math.fround(2 + u)),
    },
  };
}

describe.each(natives())('GatedMlstm on $isa', (native) => {
  it.each([1, 2, 63, 65, 130])('agrees with the plain sums for %i tokens', (T) => {
    // Of one token the gates' slopes cancel but for eps.
    expectAgreement(native, { ...setting(2, T, 2, 5), floor: T === 1 ? 1 : undefined }, tolerance);
  });

  it.each([
    [1, 1],
    [3, 17],
    [4, 16],
    [5, 7],
    [9, 3],
  ])('agrees for %i heads of width %i', (H, d) => {
    expectAgreement(native, setting(2, 70, H, d), tolerance);
  });

  it('serves exponential forget gates and a large eps', () => {
    const check = setting(1, 70, 2, 4, { forgetGate: 'exp', eps: 0.1 });
    const b_f = check.inputs.b_f.map((u) => u - 2.5);
    expectAgreement(native, { ...check, inputs: { ...check.inputs, b_f } }, 1e-4);
  });

  it('rounds the inputs of its products under bfloat16, and nothing else', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input, in the gates as in the memory: errors of 2⁻⁹ that the sums of a chunk partly even out.
      const errors = expectAgreement(native, setting(2, 130, 2, 19), 4e-2);
      expect(errors.i).toBeGreaterThan(1e-4);
    } finally {
      native.bfloat16(false);
    }
  });

  it('does nothing for an empty batch, and gives its weights no slope', () => {
    expectAgreement(native, setting(0, 3, 2, 4), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs } = setting(3, 90, 2, 20);
    const given = { ...inputs, b_i: draw(2, 9), q: draw(10800, 6), k: draw(10800, 7), v: draw(10800, 8) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, ...kept } = native.run(gatedMlstm, given, shapes, {});
      return { y, ...native.run(gatedMlstmGrad, { ...given, ...kept, dy: y }, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain GatedMlstm', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(2, 5, 2, 3));
  });

  it('refuses what does not fit, in a sentence', () => {
    const { shapes } = setting(1, 4, 2, 3);
    expect(gatedMlstm.refuses?.({ ...shapes, w_f: [18, 3] }, {})).toMatch(/w_f \[18,3\] must be \[18, 2\]/);
    expect(gatedMlstm.refuses?.({ ...shapes, b_i: [3] }, {})).toMatch(/b_i has 3 entries for 2 heads/);
    expect(gatedMlstm.refuses?.(shapes, { eps: -1 })).toMatch(/eps must be/);
  });
});
