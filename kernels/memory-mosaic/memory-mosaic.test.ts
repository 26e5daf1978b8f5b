// Keys and values of Memory Mosaics: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { leakyKeys, leakyKeysGrad } from './kernel';
import { attrs, keys, sizes, values } from './testing';

// Sums over at most 130 tokens and 66 channels in float32, divided by lengths that may be a tenth of their terms.
const tolerance = 1e-5;
describe.each(natives())('Memory Mosaics on $isa', (native) => {
  it.each(sizes)('agree in %i rows, %i tokens, %i heads of width %i', (B, T, H, d) => {
    expectAgreement(native, keys(B, T, H, d), tolerance);
    expectAgreement(native, keys(B, T, H, d, 2), tolerance);
    expectAgreement(native, values(B, T, H, d), tolerance);
  });

  it('gives zeros for zeros, a length of at most 65535 without a slope, and the sign of the leak', () => {
    const shapes = { u: [1, 2, 3, 2], leak: [3], scale: [3] };
    const u = Float64Array.of(0, 0, 3, 4, 1, 0, 0, 0, 0, 0, 0, 1);
    const given = { u, leak: Float64Array.of(0.1, 0, -0.1), scale: Float64Array.of(0, 2, 0) };
    const { k } = native.run(leakyKeys, given, shapes, attrs);
    expect([...k.slice(0, 2)]).toEqual([0, 0]);
    expect(Math.hypot(k[2], k[3])).toBeCloseTo(65535, 0);
    const dk = Float64Array.from({ length: 12 }, (_, i) => i + 1);
    const slopes = native.run(leakyKeysGrad, { ...given, dk }, { ...shapes, dk: shapes.u }, attrs);
    for (const slope of Object.values(slopes)) expect(slope.every(Number.isFinite)).toBe(true);
    expect(slopes.dscale[1]).toBe(0);
    expect(slopes.dleak[1]).toBe(0);
    expect(slopes.dleak[2]).not.toBe(0);
    const other = { ...given, leak: Float64Array.of(0.1, 0, 0.1), dk };
    const mirrored = native.run(leakyKeysGrad, other, { ...shapes, dk: shapes.u }, attrs);
    expect(mirrored.dleak[2]).toBe(-slopes.dleak[2]);
  });

  it('gives the same bits on one thread and on two', () => {
    const [B, T, H, d] = [3, 70, 2, 40];
    for (const { forward, gradient, shapes, inputs, attrs } of [keys(B, T, H, d), values(B, T, H, d)]) {
      const given = { mix: draw(H, 5), ...inputs, u: draw(B * T * H * d, 4) };
      const results = [1, 2].map((threads) => {
        native.threads(threads);
        const out = native.run(forward, given, shapes, attrs);
        const [[name, value]] = Object.entries(out);
        const feed = { ...given, [`d${name}`]: value };
        return { ...out, ...native.run(gradient, feed, { ...shapes, [`d${name}`]: shapes.u }, attrs) };
      });
      expect(results[1]).toEqual(results[0]);
    }
  });
});

describe('plain Memory Mosaics', () => {
  it('have the slopes that they claim', () => {
    expectSlopes(keys(2, 4, 2, 3, 2));
    expectSlopes(values(2, 4, 2, 3));
  });

  it('refuse what they cannot do in a sentence', () => {
    const { shapes } = keys(1, 2, 3, 4);
    expect(leakyKeys.refuses?.({ ...shapes, leak: [2] }, attrs)).toMatch(/leak \[2\] must be \[3\]/);
    expect(leakyKeys.refuses?.(shapes, { ...attrs, rawScaling: 0 })).toMatch(/rawScaling must be positive/);
  });
});
