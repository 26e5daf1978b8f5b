// One token of a linear recurrence: native against plain loops at odd sizes, in place, with the same bits for any threads.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, natives } from '../core/testing';
import { outerStep, ssdStep } from './kernel';
import { plain } from './plain';

// Sums of at most 300 products in float32.
const tolerance = 3e-6;

const outer = (B: number, G: number, H: number, d: number, e: number, keep?: number) => ({
  forward: outerStep,
  plain,
  shapes: {
    s: [B, G, d, e],
    q: [B, H, d],
    k: [B, G, d],
    v: [B, G, e],
    ...(keep && { keep: [B, G, keep] }),
  } as Record<string, number[]>,
});
const space = (b: number, G: number, H: number, P: number, N: number, D = true) => ({
  forward: ssdStep,
  plain,
  shapes: {
    s: [b, H, P, N],
    x: [b, H, P],
    dt: [b, H],
    A: [H],
    B: [b, G, N],
    C: [b, G, N],
    ...(D && { D: [H] }),
  } as Record<string, number[]>,
  inputs: { dt: draw(b * H, 5).map(Math.abs), A: draw(H, 6).map((u) => -Math.abs(u)) },
});

for (const native of natives())
  describe(native.isa, () => {
    it.each([
      [1, 1],
      [3, 7],
      [16, 16],
      [65, 130],
      [300, 17],
      [20, 261],
    ])('agrees for keys and values of %i and %i', (d, e) => {
      expectAgreement(native, outer(1, 2, 2, d, e), tolerance);
      expectAgreement(native, outer(2, 1, 1, d, e, 1), tolerance);
      expectAgreement(native, outer(1, 2, 6, d, e, d), tolerance);
      expectAgreement(native, space(1, 1, 2, d, e), tolerance);
      expectAgreement(native, space(2, 2, 4, d, e, false), tolerance);
    });

    it('does nothing for an empty batch', () => {
      expectAgreement(native, outer(0, 1, 1, 4, 4), tolerance);
      expectAgreement(native, space(0, 1, 1, 4, 4), tolerance);
    });

    it('works in place, with the same bits for any number of threads', () => {
      const state = draw(2 * 300 * 300, 1);
      const run = (threads: number) => {
        native.threads(threads);
        const s = Float32Array.from(state);
        const y = new Float32Array(2 * 300).fill(Number.NaN);
        const numbers = (seed: number) => Float32Array.from(draw(600, seed));
        native.raw(
          'OuterStep',
          [s, numbers(2), numbers(3), numbers(4), numbers(5)],
          [s, y],
          [1, 2, 2, 300, 300, 300],
          [],
        );
        const z = new Float32Array(600).fill(Number.NaN);
        const two = (seed: number) => Float32Array.from(draw(2, seed));
        const given = [s, numbers(6), two(7), two(8), numbers(9), numbers(10), two(11)];
        native.raw('SsdStep', given, [s, z], [1, 2, 2, 300, 300], []);
        return { s, y, z };
      };
      const one = run(1);
      for (const threads of [2, 3]) expect(run(threads)).toEqual(one);
      const apart = new Float32Array(state.length);
      const y = new Float32Array(600);
      const numbers = (seed: number) => Float32Array.from(draw(600, seed));
      const given = [Float32Array.from(state), numbers(2), numbers(3), numbers(4), numbers(5)];
      native.raw('OuterStep', given, [apart, y], [1, 2, 2, 300, 300, 300], []);
      expect(y).toEqual(one.y);
      native.threads(1);
    });
  });

it('refuses shapes that do not fit, in a sentence', () => {
  const { shapes } = outer(1, 2, 4, 8, 6);
  const why = (other: Record<string, number[]>) => outerStep.refuses?.({ ...shapes, ...other }, {});
  expect(why({})).toBeUndefined();
  expect(why({ q: [1, 3, 8] })).toMatch(/q must be \[1, a multiple of 2, 8\]/);
  expect(why({ k: [1, 2, 6] })).toMatch(/k is \[1,2,6\], and \[1,2,8\] fits/);
  expect(why({ keep: [1, 2, 6] })).toMatch(/keep is .* \[1,2,8\] or \[1,2,1\] fits/);
  const of = space(1, 2, 4, 8, 6).shapes;
  const no = (other: Record<string, number[]>) => ssdStep.refuses?.({ ...of, ...other }, {});
  expect(no({})).toBeUndefined();
  expect(no({ B: [1, 3, 6] })).toMatch(/a divisor of 4, 6\] fits/);
  expect(no({ dt: [1, 3] })).toMatch(/dt is \[1,3\], and \[1,4\] fits/);
});
