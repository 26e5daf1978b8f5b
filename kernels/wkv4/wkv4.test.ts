// The weighted mean of RWKV-4: the native recurrence against plain sums over all pairs, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { wkv4, wkv4Grad } from './kernel';
import { plain } from './plain';

// Float32 sums over up to 130 tokens at a common exponent, and exponentials of numbers near 10.
const tolerance = 1e-5;
const kernel = { forward: wkv4, gradient: wkv4Grad, plain };

/** Keys of the given spread, decays from a hundredth of `decay` to all of it. */
function setting(b: number, T: number, C: number, { spread = 1, decay = 1 } = {}) {
  return {
    ...kernel,
    shapes: { k: [b, T, C], v: [b, T, C], w: [C], u: [C] },
    inputs: {
      k: draw(b * T * C, 3).map((x) => spread * x),
      w: draw(C, 4).map((x) => Math.fround(-decay * (0.505 + 0.495 * x))),
    },
  };
}
const agrees = (native: Parameters<typeof expectAgreement>[0], check: ReturnType<typeof setting>) =>
  expectAgreement(native, check, tolerance);

describe.each(natives())('Wkv4 on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain sums for %i tokens', (T) => {
    agrees(native, setting(2, T, 5));
  });

  it.each([1, 15, 16, 17, 64, 70, 130])('agrees for %i channels', (C) => {
    agrees(native, setting(2, 9, C));
  });

  it('survives keys of hundreds, forward and backward', () => {
    // One value outweighs all others nearly everywhere; what is left of the slopes is as good, relative to itself.
    for (const spread of [10, 20, 150]) agrees(native, setting(1, 70, 3, { spread }));
    // Exponents of 10⁴ have a last digit of 1e-3, and all else is 0 or cancels.
    expectAgreement(native, { ...setting(1, 70, 3, { spread: 1e4 }), floor: 1 }, tolerance);
  });

  it('keeps its digits under strong decay, and under none', () => {
    agrees(native, setting(1, 130, 4, { decay: 300 }));
    agrees(native, setting(1, 130, 4, { decay: 0 }));
  });

  it('gives zero gradients of decay and bonus for an empty batch', () => {
    agrees(native, setting(0, 3, 2));
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs } = setting(3, 70, 100);
    const given = { ...inputs, v: draw(21000, 5), u: draw(100, 6) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, sums } = native.run(wkv4, given, shapes, {});
      return { y, ...native.run(wkv4Grad, { ...given, sums, dy: y }, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain Wkv4', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(2, 7, 3));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting(1, 4, 3);
    expect(wkv4.refuses?.({ ...shapes, v: [1, 4, 2] }, {})).toMatch(/v \[1,4,2\] must have the shape of k/);
    expect(wkv4.refuses?.({ ...shapes, u: [2] }, {})).toMatch(/u has 2 entries for 3 channels/);
  });
});
