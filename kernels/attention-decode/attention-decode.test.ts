// Attention of one token over a cache: native against plain loops, whatever lies past the length.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, natives } from '../core/testing';
import { attentionDecode, cacheAppend } from './kernel';
import { plain } from './plain';
import { setting } from './testing';

// Scores, softmax and sums over at most 1,030 tokens in float32.
const tolerance = 4e-6;

describe.each(natives())('AttentionDecode on $isa', (native) => {
  it.each([1, 2, 15, 16, 17, 255, 256, 257, 600])('agrees with the plain loops for %i tokens', (n) => {
    expectAgreement(native, setting({ H: 4, G: 4, n, a: 64, e: 64 }), tolerance);
    expectAgreement(native, setting({ B: 2, H: 4, G: 2, n, a: 20, e: 24, room: 3 }), tolerance);
  });

  it.each([
    [1, 1],
    [3, 130],
    [64, 128],
    [130, 7],
  ])('agrees for widths %i and %i', (a, e) => {
    expectAgreement(native, setting({ H: 2, G: 1, n: 70, a, e, room: 1 }), tolerance);
  });

  it('agrees with a shared part, wider keys, and groups of keys and values that differ', () => {
    expectAgreement(native, setting({ B: 2, H: 4, G: 1, n: 300, a: 33, e: 33, r: 18, room: 5 }), tolerance);
    expectAgreement(native, setting({ H: 4, G: 2, n: 40, a: 24, e: 48, r: 24, wider: 24 }), tolerance);
    expectAgreement(native, setting({ H: 4, G: 4, Gv: 2, n: 90, a: 16, e: 32 }), tolerance);
    expectAgreement(native, setting({ H: 8, G: 2, Gv: 4, n: 90, a: 16, e: 32, scale: -1 }), tolerance);
  });

  it('agrees with a soft-cap, a fall with distance and sinks, over one chunk and several', () => {
    for (const n of [1, 37, 300]) {
      expectAgreement(native, setting({ H: 4, G: 2, n, a: 16, e: 16, softCap: 1.5 }), tolerance);
      expectAgreement(native, setting({ H: 4, G: 2, n, a: 16, e: 16, slopes: true, sinks: true, room: 2 }), tolerance);
      expectAgreement(native, setting({ H: 2, G: 2, n, a: 8, e: 8, softCap: 2, slopes: true, sinks: true }), tolerance);
    }
  });

  it('agrees over a cache so large that what comes is asked for', () => {
    expectAgreement(native, setting({ H: 4, G: 4, n: 700, a: 72, e: 100, room: 1 }), tolerance);
    expectAgreement(native, setting({ H: 4, G: 4, Gv: 2, n: 1030, a: 64, e: 128 }), tolerance);
  });

  it('does nothing for an empty batch', () => {
    expectAgreement(native, setting({ B: 0, H: 2, G: 1, n: 4, a: 4, e: 4 }), tolerance);
  });

  it('gives the same bits whatever the capacity and the number of threads', () => {
    const at = (room: number, threads: number) => {
      native.threads(threads);
      const { shapes, attrs } = setting({ H: 2, G: 2, n: 530, a: 16, e: 16, room });
      const rows = draw(2 * 530 * 16, 4);
      const spaced = new Float64Array(2 * (530 + room) * 16).fill(Number.NaN);
      for (const g of [0, 1]) spaced.set(rows.subarray(g * 8480, (g + 1) * 8480), g * (530 + room) * 16);
      const given = { q: draw(32, 1), k: spaced, v: spaced, length: Float64Array.of(530) };
      return native.run(attentionDecode, given, { ...shapes, length: [1] }, attrs).o;
    };
    const one = at(1, 1);
    expect(at(500, 1)).toEqual(one);
    expect(at(1, 2)).toEqual(one);
    native.threads(1);
  });

  it('writes a token where it is told, and refuses a place outside', () => {
    const shapes = { cache: [2, 3, 5, 4], row: [2, 3, 1, 4], at: [1] };
    for (const at of [0, 4])
      expectAgreement(native, { forward: cacheAppend, plain, shapes, inputs: { at: Float64Array.of(at) } }, 0);
    const given = { cache: draw(120, 1), row: draw(24, 2), at: Float64Array.of(5) };
    expect(() => native.run(cacheAppend, given, shapes, {})).toThrow('outside of the cache');
    const late = setting({ H: 1, G: 1, n: 3, a: 2, e: 2, room: 1 });
    const inputs = { q: draw(2, 1), k: draw(8, 2), v: draw(8, 3), length: Float64Array.of(5) };
    expect(() => native.run(attentionDecode, inputs, late.shapes, late.attrs)).toThrow('not within the cache');
  });
});

it('refuses shapes that do not fit, in a sentence', () => {
  const shapes = { q: [1, 4, 8], k: [1, 2, 9, 8], v: [1, 2, 9, 8] };
  const why = (other: Record<string, number[]>) => attentionDecode.refuses?.({ ...shapes, ...other }, { scale: 1 });
  expect(why({})).toBeUndefined();
  expect(why({ k: [1, 3, 9, 8] })).toMatch(/groups must both divide 4 heads/);
  expect(why({ k: [1, 2, 9, 7] })).toMatch(/narrower than the queries' 8/);
  expect(why({ k: [1, 2, 8, 8] })).toMatch(/a key for each value/);
  expect(why({ qs: [1, 4, 2] })).toMatch(/come together/);
  expect(cacheAppend.refuses?.({ cache: [2, 3, 4], row: [2, 5], at: [1] }, {})).toMatch(/does not hold one token/);
});
