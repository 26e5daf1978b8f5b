// Queries, keys and values by blocks together with their gates: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { gatedBlocks, gatedBlocksGrad } from './kernel';
import { plain } from './plain';

// Float32 sums over three tensors' channels, and over up to 300 rows.
const tolerance = 5e-6;
const kernel = { forward: gatedBlocks, gradient: gatedBlocksGrad, plain };

function setting(rows: number[], E: number, H: number, biases = false) {
  const [wide, blocks, map] = [
    [...rows, E],
    [E / 4, 4, 4],
    [3 * E, H],
  ];
  const own = { c: wide, u: wide, w_q: blocks, w_k: blocks, w_v: blocks, w_i: map, b_i: [H], w_f: map, b_f: [H] };
  return { ...kernel, shapes: biases ? { ...own, b_q: [E], b_k: [E], b_v: [E] } : own };
}

describe.each(natives())('GatedBlocks on $isa', (native) => {
  it.each([
    [[1], 4, 1],
    [[2, 3], 12, 3],
    [[33], 20, 4],
    [[2, 65], 64, 5],
    [[300], 16, 8],
    [[35], 260, 2],
    [[70], 516, 4],
  ])('agrees with the plain loops for rows %j of %i channels and %i heads', (rows, E, H) => {
    expectAgreement(native, setting(rows, E, H), tolerance);
    expectAgreement(native, setting(rows, E, H, true), tolerance);
  });

  it('gives zero gradients of the weights for no rows', () => {
    expectAgreement(native, setting([0, 3], 12, 2, true), tolerance);
  });

  it('rounds what the gates read under bfloat16, and nothing else', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input of the gates: errors of 2⁻⁹ that the sums partly even out.
      const errors = expectAgreement(native, setting([70], 64, 4), 2e-2);
      expect(errors.i).toBeGreaterThan(1e-5);
      for (const name of ['q', 'k', 'v']) expect(errors[name]).toBeLessThan(tolerance);
    } finally {
      native.bfloat16(false);
    }
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes } = setting([999], 64, 3, true);
    const given = Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => [
        name,
        draw(
          shape.reduce((n, d) => n * d, 1),
          i,
        ),
      ]),
    );
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { q, k, v, i, f } = native.run(gatedBlocks, given, shapes, {});
      const feed = { ...given, dq: q, dk: k, dv: v, di: i, df: f };
      return { q, k, v, i, f, ...native.run(gatedBlocksGrad, feed, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain GatedBlocks', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting([3], 8, 2, true));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting([2], 8, 2);
    expect(gatedBlocks.refuses?.({ ...shapes, w_k: [2, 4, 3] }, {})).toMatch(/w_k \[2,4,3\] must be \[2, 4, 4\]/);
    expect(gatedBlocks.refuses?.({ ...shapes, w_f: [24, 3] }, {})).toMatch(/w_f \[24,3\] must have the shape of w_i/);
    expect(gatedBlocks.refuses?.({ ...shapes, b_v: [4] }, {})).toMatch(/b_v has 4 entries for 8 channels/);
  });
});
