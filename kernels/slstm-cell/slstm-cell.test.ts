// The scalar memory of xLSTM: the native time loop against the plain one, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { slstmCell, slstmCellGrad } from './kernel';
import { plain } from './plain';
import { expectSameBits, matrices, tolerance } from './testing';

const kernel = { forward: slstmCell, gradient: slstmCellGrad, plain };

/** Input and forget gates of the given spread. */
function setting(b: number, T: number, H: number, d: number, spread = 1) {
  const D = H * d;
  const gates = [b, T, D];
  return {
    ...kernel,
    shapes: { i: gates, f: gates, z: gates, o: gates, r: [4, H, d, d], b: [4, D] },
    inputs: {
      ...Object.fromEntries(
        ['i', 'f', 'z', 'o'].map((name, at) => [name, draw(b * T * D, at + 3).map((u) => (at < 2 ? spread : 1) * u)]),
      ),
      r: matrices(4 * H, d, 8),
    },
  };
}

describe.each(natives())('SlstmCell on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain loop for %i tokens', (T) => {
    expectAgreement(native, setting(2, T, 2, 5), tolerance);
  });

  it.each([
    [1, 1, 1],
    [1, 3, 1],
    [5, 2, 16],
    [4, 1, 17],
    [9, 3, 7],
    [2, 2, 64],
    [1, 1, 70],
  ])('agrees for %i rows, %i heads of width %i', (b, H, d) => {
    expectAgreement(native, setting(b, 9, H, d), tolerance);
  });

  it('survives preactivations of hundreds and a long past', () => {
    // Exponents of hundreds have a last digit of 3e-5, and weights that are neither 0 nor 1 move by as much.
    for (const spread of [5, 10, 20]) expectAgreement(native, setting(1, 130, 2, 3, spread), tolerance);
    expectAgreement(native, setting(1, 65, 2, 3, 150), 1e-4);
    expectAgreement(native, setting(1, 65, 2, 3, 1000), 1e-3);
  });

  it('forgets nothing under open gates', () => {
    const check = setting(1, 130, 1, 4);
    expectAgreement(native, { ...check, inputs: { ...check.inputs, f: new Float64Array(520).fill(90) } }, tolerance);
  });

  it('gives zero gradients of weights for an empty batch', () => {
    expectAgreement(native, setting(0, 3, 2, 2), tolerance);
  });

  it('gives the same bits on any number of threads', () => {
    expectSameBits(native, setting(6, 33, 3, 5));
  });
});

describe('plain SlstmCell', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(2, 5, 2, 3));
    expectSlopes(setting(1, 1, 2, 1));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting(1, 4, 3, 2);
    expect(slstmCell.refuses?.({ ...shapes, o: [1, 4, 5] }, {})).toMatch(/o \[1,4,5\] must have the shape of i/);
    expect(slstmCell.refuses?.({ ...shapes, r: [4, 2, 2, 2] }, {})).toMatch(/is for 4 channels, and i \[1,4,6\] has 6/);
  });
});
