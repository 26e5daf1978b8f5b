// Latent attention: native against plain loops, forward and gradient, apart (MLA, GLA) and tied (GTA).
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { latentAttention, latentAttentionGrad } from './kernel';
import { latentSetting as setting } from './testing';

// Scores, softmax and sums over at most 130 keys in float32; the gradient chains four such products.
const tolerance = 4e-6;

describe.each(natives({ emulated: true }))('LatentAttention on $isa', (native) => {
  it.each([1, 2, 63, 65, 130])('agrees with the plain loops for %i tokens', (T) => {
    expectAgreement(native, setting({ T, H: 4, Hk: 4, own: 8, r: 6, e: 10 }), tolerance);
    expectAgreement(native, setting({ T, H: 4, Hk: 2, own: 5, r: 4, e: 0 }), tolerance);
  });

  it.each([
    { own: 1, r: 2, e: 1 },
    { own: 1, r: 1, e: 3, rotary: false },
    { own: 64, r: 32, e: 64 },
    { own: 96, r: 32, e: 0 },
    { own: 7, r: 2, e: 0, causal: false },
  ])('agrees for %j', (sizes) => {
    expectAgreement(native, setting({ B: 1, T: 70, H: 2, Hk: 1, ...sizes }), tolerance);
  });

  it('agrees for fewer queries than keys, and for an empty batch', () => {
    expectAgreement(native, setting({ T: 3, S: 70, H: 2, Hk: 2, own: 4, r: 2, e: 4 }), tolerance);
    expectAgreement(native, setting({ B: 0, T: 3, H: 2, Hk: 2, own: 4, r: 2, e: 4 }), tolerance);
  });

  it('rounds what it multiplies under bfloat16', () => {
    native.bfloat16(true);
    try {
      // Inputs of products have 8 bits; see attention.test.ts.
      const errors = expectAgreement(native, setting({ T: 67, H: 4, Hk: 4, own: 8, r: 6, e: 10 }), 3e-2);
      expect(Math.max(...Object.values(errors))).toBeGreaterThan(1e-4);
    } finally {
      native.bfloat16(false);
    }
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs, attrs } = setting({ B: 1, T: 130, H: 4, Hk: 1, own: 4, r: 2, e: 4 });
    const given = { kv: draw(130 * 8, 2), shared: draw(130 * 2, 3), ...inputs };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { o, lse } = native.run(latentAttention, given, shapes, attrs);
      const like = { o: [1, 130, 4, 4], lse: [1, 4, 130], do: [1, 130, 4, 4] };
      return { o, ...native.run(latentAttentionGrad, { ...given, o, lse, do: o }, { ...shapes, ...like }, attrs) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain LatentAttention', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting({ T: 4, H: 4, Hk: 2, own: 3, r: 2, e: 3 }));
    expectSlopes(setting({ T: 4, S: 5, H: 4, Hk: 2, own: 3, r: 2, e: 0, causal: false }));
  });

  it('refuses what it cannot do in a sentence', () => {
    const { shapes, attrs } = setting({ T: 4, H: 4, Hk: 2, own: 3, r: 2, e: 3 });
    expect(latentAttention.refuses?.(shapes, { ...attrs, own: 4 })).toMatch(/own must be 5 - 2 channels, not 4/);
    expect(latentAttention.refuses?.(shapes, { ...attrs, valueAt: 1 })).toMatch(/valueAt must be 0 or 3/);
    expect(latentAttention.refuses?.({ ...shapes, cos: [4, 2], sin: [4, 2] }, attrs)).toMatch(/do not fit a head of 2/);
  });
});
