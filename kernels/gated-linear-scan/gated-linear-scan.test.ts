// Gated linear attention: the native recurrence against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { gatedLinearScan, gatedLinearScanGrad } from './kernel';
import { plain } from './plain';

// Float32 sums over up to 130 tokens and 70 channels.
const tolerance = 1e-5;
const kernel = { forward: gatedLinearScan, gradient: gatedLinearScanGrad, plain };

/** Log decays from −decay to 0. */
function setting([b, T, H, Hk, d, e]: number[], decay = 0.2) {
  const keys = [b, T, Hk, d];
  return {
    ...kernel,
    shapes: { q: [b, T, H, d], k: keys, v: [b, T, Hk, e], g: keys },
    inputs: { g: draw(b * T * Hk * d, 9).map((u) => Math.fround((decay * (u - 1)) / 2)) },
  };
}

describe.each(natives())('GatedLinearScan on $isa', (native) => {
  it.each([1, 2, 15, 16, 17, 63, 64, 65, 130])('agrees with the plain recurrence for %i tokens', (T) => {
    expectAgreement(native, setting([2, T, 4, 2, 5, 3]), tolerance);
  });

  it.each([
    [1, 1, 1, 1],
    [3, 3, 1, 2],
    [6, 2, 16, 17],
    [2, 2, 17, 16],
    [2, 1, 32, 64],
    [1, 1, 70, 33],
    [1, 1, 33, 70],
  ])('agrees for %i heads, %i key heads of width %i, values of width %i', (...sizes) => {
    expectAgreement(native, setting([1, 20, ...sizes]), tolerance);
  });

  it('keeps its digits under strong decay, and under none', () => {
    for (const decay of [6, 300, 1e4, 0]) expectAgreement(native, setting([1, 70, 2, 2, 4, 5], decay), tolerance);
  });

  it('does nothing for an empty batch', () => {
    expectAgreement(native, setting([0, 3, 2, 1, 4, 2]), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs } = setting([2, 40, 4, 2, 20, 70]);
    const given = { ...inputs, q: draw(6400, 6), k: draw(3200, 7), v: draw(11200, 8) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { o, states } = native.run(gatedLinearScan, given, shapes, {});
      return { o, ...native.run(gatedLinearScanGrad, { ...given, states, do: o }, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain GatedLinearScan', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting([1, 5, 4, 2, 3, 2], 1));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting([1, 4, 3, 3, 2, 2]);
    expect(gatedLinearScan.refuses?.({ ...shapes, g: [1, 4, 3, 1] }, {})).toMatch(
      /g \[1,4,3,1\] must have the shape of k/,
    );
    const two = [1, 4, 2, 2];
    expect(gatedLinearScan.refuses?.({ ...shapes, k: two, v: two, g: two }, {})).toMatch(/2 key heads do not divide 3/);
  });
});
