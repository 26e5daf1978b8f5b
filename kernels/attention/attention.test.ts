// Attention: native against plain loops, forward and gradient, with and without rotary positions and grouped heads.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { attention, attentionGrad } from './kernel';
import { plain } from './plain';

// Scores, softmax and sums over at most 130 keys in float32; the gradient chains four such products.
const tolerance = 4e-6;
const kernel = { forward: attention, gradient: attentionGrad, plain };

/** cos and sin of rotary positions for T tokens and head width d, in float64 rounded to float32; pairs from `turning` on stand still. */
function tables(T: number, d: number, turning = d / 2) {
  const cos = new Float64Array((T * d) / 2);
  const sin = new Float64Array((T * d) / 2);
  for (let t = 0; t < T; t++)
    for (let i = 0; i < d / 2; i++) {
      const angle = i < turning ? t * 10000 ** ((-2 * i) / d) : 0;
      cos[(t * d) / 2 + i] = Math.fround(Math.cos(angle));
      sin[(t * d) / 2 + i] = Math.fround(Math.sin(angle));
    }
  return { cos, sin };
}

function setting(
  B: number,
  T: number,
  S: number,
  H: number,
  Hk: number,
  d: number,
  e: number,
  causal: boolean,
  rotary: boolean,
) {
  const shapes = { q: [B, T, H, d], k: [B, S, Hk, d], v: [B, S, Hk, e] };
  const inputs = {
    q: draw(B * T * H * d, 1).map((u) => Math.fround(3 * u)),
    k: draw(B * S * Hk * d, 2).map((u) => Math.fround(3 * u)),
  };
  const attrs = { scale: 1 / Math.sqrt(d), causal };
  if (!rotary) return { ...kernel, shapes, inputs, attrs };
  const rope = { cos: [S, d / 2], sin: [S, d / 2] };
  return { ...kernel, shapes: { ...shapes, ...rope }, inputs: { ...inputs, ...tables(S, d, Math.ceil(d / 3)) }, attrs };
}

describe.each(natives())('Attention on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain loops for %i tokens', (T) => {
    const floor = T === 1 ? 10 : undefined; // one key: the gradients of q and k are sums of products up to 10 that cancel to 0
    expectAgreement(native, { ...setting(2, T, T, 4, 2, 20, 20, true, true), floor }, tolerance);
    expectAgreement(native, { ...setting(1, T, T, 2, 2, 16, 16, false, false), floor }, tolerance);
  });

  it.each([
    [1, 1],
    [2, 3],
    [8, 24],
    [32, 32],
    [64, 64],
    [66, 40],
    [80, 80],
    [128, 96],
  ])('agrees for head widths %i and %i', (d, e) => {
    expectAgreement(native, setting(1, 70, 70, 2, 1, d, e, true, d % 2 === 0), tolerance);
  });

  it('agrees for fewer queries than keys, aligned at the end', () => {
    for (const [T, S] of [
      [1, 130],
      [3, 66],
      [70, 150],
    ]) {
      expectAgreement(native, setting(1, T, S, 3, 3, 8, 8, true, true), tolerance);
      expectAgreement(native, setting(1, T, S, 3, 1, 8, 8, false, false), tolerance);
    }
  });

  it('agrees for more queries than keys without a mask', () => {
    expectAgreement(native, setting(2, 67, 5, 2, 2, 12, 12, false, false), tolerance);
  });

  it('does nothing for an empty batch', () => {
    expectAgreement(native, setting(0, 3, 3, 2, 1, 4, 4, true, true), tolerance);
  });

  it('does not look at later tokens', () => {
    const { shapes, inputs, attrs } = setting(1, 70, 70, 1, 1, 4, 4, true, false);
    const v = draw(70 * 4, 3);
    const early = native.run(attention, { ...inputs, v }, shapes, attrs).o;
    const k = inputs.k.map((u, i) => (i >= 68 * 4 ? 50 : u));
    const late = native.run(attention, { ...inputs, k, v: v.map((u, i) => (i >= 68 * 4 ? -9 : u)) }, shapes, attrs).o;
    expect(late.slice(0, 68 * 4)).toEqual(early.slice(0, 68 * 4));
    expect(late.slice(68 * 4)).not.toEqual(early.slice(68 * 4));
  });

  it('stays finite for scores far apart', () => {
    const shapes = { q: [1, 2, 1, 2], k: [1, 2, 1, 2], v: [1, 2, 1, 2] };
    const inputs = {
      q: Float64Array.of(300, 0, 0, 300),
      k: Float64Array.of(300, 0, -300, 0),
      v: Float64Array.of(1, 2, 3, 4),
    };
    const { o, lse } = native.run(attention, inputs, shapes, { scale: 1, causal: false });
    expect([...o]).toEqual([1, 2, 2, 3]);
    expect(lse[0]).toBe(90000);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs, attrs } = setting(2, 130, 130, 4, 2, 16, 16, true, true);
    const v = draw(2 * 130 * 2 * 16, 3);
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { o, lse } = native.run(attention, { ...inputs, v }, shapes, attrs);
      const feed = { ...inputs, v, o, lse, do: o };
      return {
        o,
        ...native.run(attentionGrad, feed, { ...shapes, o: shapes.q, lse: [2, 4, 130], do: shapes.q }, attrs),
      };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain Attention', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(1, 5, 5, 4, 2, 6, 4, true, true));
    expectSlopes(setting(2, 3, 4, 2, 1, 3, 2, false, false));
  });

  it('refuses what it cannot do in a sentence', () => {
    const shapes = { q: [1, 4, 3, 8], k: [1, 4, 2, 8], v: [1, 4, 2, 8] };
    expect(attention.refuses?.(shapes, { scale: 1 })).toMatch(/2 key heads do not divide 3 query heads/);
    const odd = { q: [1, 4, 2, 7], k: [1, 4, 2, 7], v: [1, 4, 2, 7], cos: [4, 3], sin: [4, 3] };
    expect(attention.refuses?.(odd, { scale: 1 })).toMatch(/even head width, not 7/);
  });
});
