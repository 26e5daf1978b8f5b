// Blends of each token with the one before it: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { COUNTS, kernels } from './kernel';
import { plain } from './plain';

// Sums of up to 6 products, and of shares over up to 300 tokens.
const tolerance = 2e-6;
const named = (name: string) => kernels.find((kernel) => kernel.name === name)!;
const check = (count: number, [B, T, D]: readonly number[], weighs: string, before = false) => ({
  forward: named(`TokenMix${count}`),
  gradient: named(`TokenMix${count}Grad`),
  plain,
  shapes: {
    x: [B, T, D],
    ...(before && { before: [B, D] }),
    ...Object.fromEntries(Array.from({ length: count }, (_, i) => [`w${i}`, [D]])),
  },
  attrs: { weighs },
});

describe.each(natives())('TokenMix on $isa', (native) => {
  it.each([
    [1, 1, 1],
    [2, 1, 3],
    [3, 7, 1],
    [2, 33, 15],
    [1, 130, 65],
    [3, 100, 130],
  ])('agrees with the plain loops for %i sequences of %i tokens with %i channels', (...shape) => {
    for (const count of COUNTS)
      for (const weighs of ['before', 'current'])
        for (const before of [false, true]) expectAgreement(native, check(count, shape, weighs, before), tolerance);
  });

  it('gives zero gradients of the shares for no sequences', () => {
    expectAgreement(native, check(2, [0, 4, 6], 'before'), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { forward, gradient, shapes, attrs } = check(3, [3, 200, 48], 'current');
    const given = Object.fromEntries(Object.values(shapes).map((shape, i) => [Object.keys(shapes)[i], draw(shape.reduce((a: number, b: number) => a * b), i)])); // biome-ignore format: one line
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y0, y1, y2 } = native.run(forward, given, shapes, attrs);
      return { y0, y1, y2, ...native.run(gradient, { ...given, dy0: y0, dy1: y1, dy2: y2 }, shapes, attrs) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain TokenMix', () => {
  it('has the slopes that it claims', () => {
    for (const weighs of ['before', 'current'])
      for (const before of [false, true]) expectSlopes(check(2, [2, 4, 3], weighs, before));
  });

  it('refuses what does not fit, in a sentence', () => {
    const { forward, shapes, attrs } = check(2, [2, 4, 3], 'before');
    expect(forward.refuses?.({ ...shapes, w1: [4] }, attrs)).toMatch(/w1 has 4 entries, x has 3 channels/);
    expect(forward.refuses?.({ ...shapes, before: [4, 2] }, attrs)).toMatch(/before is \[4,2\], and \[2, 3\] fits/);
    expect(forward.refuses?.(shapes, { weighs: 'next' })).toMatch(/before or current, not next/);
  });
});
