// Differential attention: native against plain loops, forward and gradient, with the norm of a head and the slope of λ.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { differentialAttention, differentialAttentionGrad } from './kernel';
import { differentialSetting as setting } from './testing';

// Two softmaxes over at most 130 keys in float32, a difference, and a norm that may blow it up by some 3; the gradient chains five products.
const tolerance = 2e-5;

describe.each(natives({ emulated: true }))('DifferentialAttention on $isa', (native) => {
  it.each([1, 2, 63, 65, 130])('agrees with the plain loops for %i tokens', (T) => {
    expectAgreement(native, setting({ T, H: 4, Hk: 2, d: 8, e: 20 }), tolerance);
    expectAgreement(native, setting({ T, H: 2, Hk: 2, d: 3, e: 6, causal: false, rotary: false }), tolerance);
  });

  it.each([
    { d: 1, e: 1, rotary: false },
    { d: 2, e: 3, rest: 1.7 },
    { d: 32, e: 64, rest: -0.2 },
    { d: 66, e: 40 },
  ])('agrees for %j', (sizes) => {
    // A single channel is normed to ±1 whatever it is: its gradient is terms of the order of 1 that cancel.
    const given = setting({ B: 1, T: 70, H: 2, Hk: 1, ...sizes });
    expectAgreement(native, { ...given, floor: sizes.e === 1 ? 100 : undefined }, tolerance);
  });

  it('agrees for fewer queries than keys, and for an empty batch', () => {
    expectAgreement(native, setting({ T: 3, S: 70, H: 2, Hk: 1, d: 4, e: 4 }), tolerance);
    expectAgreement(native, setting({ B: 0, T: 3, H: 2, Hk: 1, d: 4, e: 4 }), tolerance);
  });

  it('leaves no slope of queries and keys, not even by rounding, where there is one key', () => {
    const { shapes, inputs, attrs } = setting({ B: 1, T: 1, H: 4, Hk: 2, d: 8, e: 20 });
    const feed = { k: draw(4 * 8, 2), v: draw(2 * 20, 3), weight: draw(20, 4), ...inputs };
    const { first, second, lse } = native.run(differentialAttention, feed, shapes, attrs);
    const read = [1, 1, 4, 20];
    const like = { ...shapes, first: read, second: read, lse: [1, 8, 1], dy: read };
    const given = { ...feed, first, second, lse, dy: draw(4 * 20, 5) };
    const slopes = native.run(differentialAttentionGrad, given, like, attrs);
    for (const name of ['dq', 'dk']) expect(slopes[name].every((u) => u === 0)).toBe(true);
  });

  it('rounds what it multiplies under bfloat16', () => {
    native.bfloat16(true);
    try {
      // Inputs of products have 8 bits; see attention.test.ts.
      const errors = expectAgreement(native, setting({ T: 67, H: 4, Hk: 2, d: 8, e: 20 }), 5e-2);
      expect(Math.max(...Object.values(errors))).toBeGreaterThan(1e-4);
    } finally {
      native.bfloat16(false);
    }
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs, attrs } = setting({ B: 1, T: 130, H: 4, Hk: 1, d: 4, e: 4 });
    const given = { k: draw(130 * 8, 2), v: draw(130 * 4, 3), weight: draw(4, 4), ...inputs };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, first, second, lse } = native.run(differentialAttention, given, shapes, attrs);
      const read = [1, 130, 4, 4];
      const like = { ...shapes, first: read, second: read, lse: [1, 8, 130], dy: read };
      return { y, ...native.run(differentialAttentionGrad, { ...given, first, second, lse, dy: y }, like, attrs) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain DifferentialAttention', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting({ T: 4, H: 4, Hk: 2, d: 2, e: 3 }));
    expectSlopes(setting({ T: 4, S: 5, H: 2, Hk: 1, d: 3, e: 2, causal: false, rotary: false }));
  });

  it('refuses what it cannot do in a sentence', () => {
    const { shapes, attrs } = setting({ T: 4, H: 4, Hk: 2, d: 2, e: 3 });
    expect(differentialAttention.refuses?.({ ...shapes, weight: [4] }, attrs)).toMatch(/weight \[4\] must be \[3\]/);
    expect(differentialAttention.refuses?.({ ...shapes, v: [2, 4, 3, 3] }, attrs)).toMatch(/half of its heads/);
  });
});
