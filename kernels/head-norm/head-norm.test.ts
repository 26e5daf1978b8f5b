// Layer normalisation of each head, skip and gate: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { headNorm, headNormGrad } from './kernel';
import { plain } from './plain';

// Means and variances of up to 130 float32 numbers, sums of gradients over up to 70 rows.
const tolerance = 4e-6;
const shapesOf = (rows: number, D: number, parts: readonly string[]) => ({
  x: [rows, D],
  weight: [D],
  ...(parts.includes('bias') && { bias: [D] }),
  ...(parts.includes('skip') && { skip: [D], side: [rows, D] }),
  ...(parts.includes('gate') && { gate: [rows, D] }),
});
const check = (rows: number, D: number, heads: number, parts: readonly string[]) => ({
  forward: headNorm,
  gradient: headNormGrad,
  plain,
  shapes: shapesOf(rows, D, parts),
  attrs: { heads, epsilon: 1e-3 },
});

describe.each(natives())('HeadNorm on $isa', (native) => {
  it.each([
    [1, 1, 1],
    [3, 2, 1],
    [7, 15, 3],
    [5, 64, 4],
    [70, 51, 3],
    [2, 260, 2],
  ])('agrees with the plain loops for %i rows of %i channels in %i heads', (rows, D, heads) => {
    // A head of one channel is its own mean: what comes out is 0, and errors are held to the size of the terms.
    const floor = D === heads ? 1 : undefined;
    for (const parts of [[], ['bias'], ['skip', 'gate'], ['bias', 'skip', 'gate'], ['gate']])
      expectAgreement(native, { ...check(rows, D, heads, parts), floor }, tolerance);
  });

  it('gives zero gradients of the weights for no rows', () => {
    expectAgreement(native, check(0, 6, 2, ['bias', 'skip', 'gate']), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, attrs } = check(300, 48, 3, ['skip', 'gate']);
    const given = Object.fromEntries(Object.entries(shapes).map(([name, [a, b = 1]], i) => [name, draw(a * b, i)]));
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, mean, rstd } = native.run(headNorm, given, shapes, attrs);
      return { y, ...native.run(headNormGrad, { ...given, mean, rstd, dy: y }, shapes, attrs) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain HeadNorm', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(check(3, 6, 2, ['bias', 'skip', 'gate']));
    expectSlopes(check(2, 5, 1, []));
  });

  it('refuses what does not fit, in a sentence', () => {
    const { shapes, attrs } = check(3, 6, 2, ['skip']);
    expect(headNorm.refuses?.(shapes, { ...attrs, heads: 4 })).toMatch(/6 channels do not divide into 4 heads/);
    expect(headNorm.refuses?.({ ...shapes, side: undefined as never }, attrs)).toMatch(/skip and side go together/);
  });
});
