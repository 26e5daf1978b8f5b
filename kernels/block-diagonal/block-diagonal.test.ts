// Linear maps of blocks of channels: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { blockDiagonal, blockDiagonalGrad } from './kernel';
import { plain } from './plain';

// Float32 products of up to 300 channels, and sums over up to 300 rows.
const tolerance = 3e-6;
const kernel = { forward: blockDiagonal, gradient: blockDiagonalGrad, plain };

describe.each(natives())('BlockDiagonal on $isa', (native) => {
  it.each([
    [1, 1, 1, 1],
    [5, 1, 4, 4],
    [7, 3, 4, 4],
    [130, 5, 4, 4],
    [300, 16, 4, 4],
    [6, 4, 3, 5],
    [33, 2, 64, 64],
    [130, 3, 17, 20],
    [301, 2, 130, 300],
  ])('agrees with the plain loops for %i rows, %i blocks of %i by %i channels', (rows, N, I, O) => {
    const shapes = { x: [rows, N * I], w: [N, I, O] };
    expectAgreement(native, { ...kernel, shapes }, tolerance);
    expectAgreement(native, { ...kernel, shapes: { ...shapes, bias: [N * O] } }, tolerance);
  });

  it('gives zero gradients of the weights for no rows', () => {
    expectAgreement(native, { ...kernel, shapes: { x: [0, 12], w: [3, 4, 4] } }, tolerance);
    expectAgreement(native, { ...kernel, shapes: { x: [0, 9], w: [3, 3, 2] } }, tolerance);
  });

  it('rounds the inputs of wide blocks under bfloat16', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input: errors of 2⁻⁹ that the sums partly even out.
      const errors = expectAgreement(native, { ...kernel, shapes: { x: [310, 256], w: [2, 128, 260] } }, 1e-2);
      expect(errors.y).toBeGreaterThan(1e-4);
    } finally {
      native.bfloat16(false);
    }
  });

  it.each([4, 16, 128])('gives the same bits on one thread and on two for blocks of %i', (I) => {
    const shapes = { x: [999, 3 * I], w: [3, I, I] };
    const given = { x: draw(999 * 3 * I, 1), w: draw(3 * I * I, 2), dy: draw(999 * 3 * I, 3) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      return { ...native.run(blockDiagonal, given, shapes, {}), ...native.run(blockDiagonalGrad, given, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain BlockDiagonal', () => {
  it('has the slopes that it claims', () => {
    expectSlopes({ ...kernel, shapes: { x: [3, 6], w: [3, 2, 4], bias: [12] } });
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    expect(blockDiagonal.refuses?.({ x: [2, 7], w: [2, 4, 4] }, {})).toMatch(/must end with 2 blocks of 4 channels/);
    expect(blockDiagonal.refuses?.({ x: [2, 8], w: [2, 4, 4], bias: [4] }, {})).toMatch(/bias has 4 entries for 8/);
  });
});
