// The generalised delta rule of RWKV-7: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { wkv7, wkv7Grad } from './kernel';
import { plain } from './plain';

// Float32 products of up to 130 transitions, each a sum over up to 70 channels.
const tolerance = 1e-5;
const kernel = { forward: wkv7, gradient: wkv7Grad, plain };

/** Directions a = −κ and b = κ·rate with |κ| = 1, as the layer makes them; log decays from −decay to 0. */
function setting(b: number, H: number, T: number, N: number, decay = 0.6) {
  const shape = [b, H, T, N];
  const size = b * H * T * N;
  const kappa = draw(size, 3);
  for (let at = 0; at < size; at += N) {
    const length = Math.hypot(...kappa.subarray(at, at + N));
    for (let j = 0; j < N; j++) kappa[at + j] = Math.fround(kappa[at + j] / length);
  }
  const rate = draw(size, 4);
  return {
    ...kernel,
    shapes: { r: shape, w_log: shape, k: shape, v: shape, a: shape, b: shape },
    inputs: {
      w_log: draw(size, 5).map((u) => Math.fround((decay * (u - 1)) / 2)),
      a: kappa.map((u) => -u),
      b: kappa.map((u, i) => Math.fround(u * (0.5 + rate[i] / 2))),
    },
  };
}

describe.each(natives())('Wkv7 on $isa', (native) => {
  it.each([1, 2, 15, 16, 17, 63, 64, 65, 130])('agrees with the plain rule for %i tokens', (T) => {
    // One token decays and removes nothing.
    expectAgreement(native, setting(2, 2, T, 5), tolerance);
  });

  it.each([
    [1, 1],
    [3, 2],
    [2, 16],
    [1, 17],
    [2, 33],
    [2, 64],
    [1, 70],
  ])('agrees for %i heads of width %i', (H, N) => {
    expectAgreement(native, setting(1, H, 20, N), tolerance);
  });

  it('keeps its digits under strong decay, and under none', () => {
    expectAgreement(native, setting(1, 2, 65, 6, 500), tolerance);
    expectAgreement(native, setting(1, 2, 65, 6, 0), tolerance);
  });

  it('does nothing for an empty batch', () => {
    expectAgreement(native, setting(0, 2, 3, 4), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs } = setting(2, 3, 33, 20);
    const given = { ...inputs, r: draw(3960, 6), k: draw(3960, 7), v: draw(3960, 8) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, states } = native.run(wkv7, given, shapes, {});
      return { y, ...native.run(wkv7Grad, { ...given, states, dy: y }, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain Wkv7', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(1, 2, 5, 3));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting(1, 1, 4, 3);
    expect(wkv7.refuses?.({ ...shapes, b: [1, 1, 4, 2] }, {})).toMatch(/b \[1,1,4,2\] must have the shape of r/);
  });
});
