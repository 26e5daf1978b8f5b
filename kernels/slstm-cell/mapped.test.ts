// The scalar memory with the maps of its gates: native kernels against plain sums, forward and gradient.
import { describe, expect, it } from 'vitest';
import { expectAgreement, expectSlopes, natives } from '../core/testing';
import { mappedSlstm, mappedSlstmGrad } from './kernel';
import { plain } from './plain';
import { expectSameBits, matrices, tolerance } from './testing';

/** Input and forget gates of the given spread. */
function setting(b: number, T: number, H: number, d: number, spread = 1) {
  const D = H * d;
  const [wide, map] = [
    [b, T, D],
    [H, d, d],
  ];
  return {
    forward: mappedSlstm,
    gradient: mappedSlstmGrad,
    plain,
    shapes: { c: wide, x: wide, w_i: map, w_f: map, w_z: map, w_o: map, r: [4, H, d, d], b: [4, D] },
    inputs: {
      w_i: matrices(H, d, 3, spread),
      w_f: matrices(H, d, 4, spread),
      w_z: matrices(H, d, 5),
      w_o: matrices(H, d, 6),
      r: matrices(4 * H, d, 8),
    },
  };
}

describe.each(natives())('MappedSlstm on $isa', (native) => {
  it.each([1, 2, 31, 32, 33, 65, 130])('agrees with the plain sums for %i tokens', (T) => {
    expectAgreement(native, setting(2, T, 2, 5), tolerance);
  });

  it.each([
    [1, 1, 1],
    [1, 3, 1],
    [5, 2, 16],
    [4, 1, 17],
    [9, 3, 7],
    [3, 2, 33],
    [2, 2, 64],
    [1, 1, 70],
  ])('agrees for %i rows, %i heads of width %i', (b, H, d) => {
    expectAgreement(native, setting(b, 35, H, d), tolerance);
  });

  it('survives preactivations of hundreds', () => {
    // Exponents of hundreds have a last digit of 3e-5, and weights that are neither 0 nor 1 move by as much.
    for (const spread of [10, 20]) expectAgreement(native, setting(1, 70, 2, 3, spread), tolerance);
    expectAgreement(native, setting(1, 65, 2, 3, 150), 1e-4);
  });

  it('rounds the inputs of its maps under bfloat16', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input of the maps and of their slopes: errors of 2⁻⁹ that the sums partly even out.
      const errors = expectAgreement(native, setting(3, 40, 2, 19), 2e-2);
      expect(errors.y).toBeGreaterThan(1e-4);
    } finally {
      native.bfloat16(false);
    }
  });

  it('gives zero gradients of weights for an empty batch and for no tokens', () => {
    expectAgreement(native, setting(0, 3, 2, 2), tolerance);
    expectAgreement(native, setting(2, 0, 2, 2), tolerance);
  });

  it('gives the same bits on any number of threads', () => {
    expectSameBits(native, setting(6, 40, 3, 5));
  });
});

describe('plain MappedSlstm', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(2, 5, 2, 3));
    expectSlopes(setting(1, 1, 2, 1));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting(1, 4, 3, 2);
    expect(mappedSlstm.refuses?.({ ...shapes, x: [1, 4, 5] }, {})).toMatch(/x \[1,4,5\] must have the shape of c/);
    expect(mappedSlstm.refuses?.({ ...shapes, w_z: [2, 2, 2] }, {})).toMatch(/w_z \[2,2,2\] must be \[3,2,2\]/);
    expect(mappedSlstm.refuses?.({ ...shapes, r: [4, 2, 2, 2] }, {})).toMatch(
      /is for 4 channels, and c \[1,4,6\] has 6/,
    );
    expect(mappedSlstm.refuses?.({ ...shapes, b: [3] }, {})).toMatch(/must hold 4 biases/);
  });
});
