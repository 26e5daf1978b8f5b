// Attention: native against plain loops, forward and gradient, with rotary positions, grouped heads, windows, ALiBi, soft-cap and sinks.
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

describe.each(natives({ emulated: true }))('Attention on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain loops for %i tokens', (T) => {
    expectAgreement(native, setting(2, T, T, 4, 2, 20, 20, true, true), tolerance);
    expectAgreement(native, setting(1, T, T, 2, 2, 16, 16, false, false), tolerance);
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

  it.each([
    { causal: true, window: 1 },
    { causal: true, window: 5 },
    { causal: true, window: 64 },
    { causal: true, window: 100 },
    { causal: false, window: 3 },
    { causal: false, window: 70 },
    { causal: true, strict: true },
    { causal: true, strict: true, window: 2 },
    { causal: true, alibi: true },
    { causal: false, alibi: true },
    { causal: true, softCap: 2 },
    { causal: true, softCap: 2, alibi: true, window: 9 },
    { causal: true, scale: -0.3 },
  ])('agrees with %j', (attrs) => {
    for (const [T, S] of [
      [1, 1],
      [67, 67],
      [150, 150],
      [3, 140],
    ]) {
      const given = setting(2, T, S, 6, 2, 10, 12, true, true);
      expectAgreement(native, { ...given, attrs: { ...given.attrs, ...attrs } }, tolerance);
      const sinks = { shapes: { ...given.shapes, sinks: [6] }, attrs: { ...given.attrs, ...attrs } };
      expectAgreement(native, { ...given, ...sinks, floor: 1 }, tolerance);
    }
  });

  it('gives zeros where a query sees nothing, and no slope there', () => {
    const shapes = { q: [1, 1, 1, 2], k: [1, 1, 1, 2], v: [1, 1, 1, 2] };
    const one = Float64Array.of(1, 2);
    const attrs = { scale: 1, causal: true, strict: true };
    const { o, lse } = native.run(attention, { q: one, k: one, v: one }, shapes, attrs);
    expect([...o, ...lse]).toEqual([0, 0, 0]);
    const feed = { q: one, k: one, v: one, o, lse, do: one };
    const slopes = native.run(attentionGrad, feed, { ...shapes, o: shapes.q, lse: [1, 1, 1], do: shapes.q }, attrs);
    for (const slope of Object.values(slopes)) expect(slope.every((u) => u === 0)).toBe(true);
  });

  it('leaves no slope of queries and keys, not even by rounding, where a query sees one key', () => {
    const { shapes, inputs, attrs } = setting(1, 70, 70, 4, 2, 20, 33, true, true);
    const feed = { ...inputs, v: draw(70 * 2 * 33, 3) };
    const alone = { ...attrs, window: 1 };
    const { o, lse } = native.run(attention, feed, shapes, alone);
    const like = { ...shapes, o: [1, 70, 4, 33], lse: [1, 4, 70], do: [1, 70, 4, 33] };
    const slopes = native.run(attentionGrad, { ...feed, o, lse, do: draw(70 * 4 * 33, 4) }, like, alone);
    for (const name of ['dq', 'dk']) expect(slopes[name].every((u) => u === 0)).toBe(true);
  });

  it('turns the last channels alone where the tables are narrow', () => {
    const given = setting(1, 70, 70, 2, 1, 10, 6, true, false);
    const rope = { cos: [70, 2], sin: [70, 2] };
    const inputs = { ...given.inputs, ...tables(70, 4) };
    expectAgreement(native, { ...given, shapes: { ...given.shapes, ...rope }, inputs }, tolerance);
  });

  it('agrees where few key heads are cut into parts', () => {
    expectAgreement(native, setting(1, 200, 200, 6, 1, 8, 8, true, true), tolerance);
    expectAgreement(native, setting(1, 600, 600, 1, 1, 6, 4, false, true), tolerance);
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
    expect(lse[0]).toBeCloseTo(90000 / Math.LN2, 1); // float32 leaves 0.01 of it
  });

  it('rounds what it multiplies under bfloat16, and keeps sums and the softmax in float32', () => {
    for (const T of [1, 65, 131]) {
      const given = setting(2, T, T, 4, 2, 20, 13, true, true);
      native.bfloat16(true);
      try {
        // Inputs of products have 8 bits: scores of up to 10 are off by 0.02, shares by as much of themselves.
        const errors = expectAgreement(native, given, 3e-2);
        if (T > 1) expect(errors.o).toBeGreaterThan(1e-4);
      } finally {
        native.bfloat16(false);
      }
    }
    // Numbers of 8 bits whose products are whole: nothing is lost but by the shares, which are all alike.
    const shapes = { q: [1, 4, 1, 2], k: [1, 4, 1, 2], v: [1, 4, 1, 2] };
    const inputs = { q: draw(8, 1), k: new Float64Array(8), v: Float64Array.from({ length: 8 }, (_, i) => i + 1) };
    native.bfloat16(true);
    const { o } = native.run(attention, inputs, shapes, { scale: 1, causal: true });
    native.bfloat16(false);
    expect([...o.slice(0, 4)]).toEqual([1, 2, 2, 3]);
    expect([...o.slice(6)]).toEqual([4, 5]);
  });

  it('gives the same bits on one thread and on two', () => {
    for (const [B, Hk] of [
      [2, 2],
      [1, 1],
    ]) {
      const { shapes, inputs, attrs } = setting(B, 130, 130, 4, Hk, 16, 16, true, true); // one key head: three parts
      const v = draw(B * 130 * Hk * 16, 3);
      const results = [1, 2].map((threads) => {
        native.threads(threads);
        const { o, lse } = native.run(attention, { ...inputs, v }, shapes, attrs);
        const feed = { ...inputs, v, o, lse, do: o };
        return {
          o,
          ...native.run(attentionGrad, feed, { ...shapes, o: shapes.q, lse: [B, 4, 130], do: shapes.q }, attrs),
        };
      });
      expect(results[1]).toEqual(results[0]);
    }
  });
});

describe('plain Attention', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(1, 5, 5, 4, 2, 6, 4, true, true));
    expectSlopes(setting(2, 3, 4, 2, 1, 3, 2, false, false));
    const given = setting(2, 5, 6, 6, 3, 3, 2, true, false);
    const bent = { softCap: 0.7, alibi: true, window: 3 };
    expectSlopes({ ...given, shapes: { ...given.shapes, sinks: [6] }, attrs: { ...given.attrs, ...bent } });
    expectSlopes({ ...given, attrs: { ...given.attrs, strict: true } });
  });

  it('refuses what it cannot do in a sentence', () => {
    const shapes = { q: [1, 4, 3, 8], k: [1, 4, 2, 8], v: [1, 4, 2, 8] };
    expect(attention.refuses?.(shapes, { scale: 1 })).toMatch(/2 key heads do not divide 3 query heads/);
    const odd = { q: [1, 4, 2, 7], k: [1, 4, 2, 7], v: [1, 4, 2, 7], cos: [4, 3], sin: [4, 3] };
    expect(attention.refuses?.(odd, { scale: 1 })).toBeUndefined();
    expect(attention.refuses?.({ ...odd, cos: [4, 4], sin: [4, 4] }, { scale: 1 })).toMatch(/8 channels do not fit/);
    const even = { q: [1, 4, 2, 8], k: [1, 4, 2, 8], v: [1, 4, 2, 8] };
    expect(attention.refuses?.(even, { scale: 1, window: 2.5 })).toMatch(/window must be a whole number/);
    expect(attention.refuses?.(even, { scale: 1, softCap: -1 })).toMatch(/softCap must be 0 or a positive/);
    expect(attention.refuses?.(even, { scale: 1, strict: true })).toMatch(/strict goes with causal/);
    expect(attention.refuses?.({ ...even, sinks: [3] }, { scale: 1 })).toMatch(/sinks \[3\] must be \[2\]/);
  });
});
