// The matrix memory of xLSTM: native chunks against plain sums over all pairs, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { mlstmCell, mlstmCellGrad } from './kernel';
import { plain } from './plain';

// Chained float32 products over 64 tokens, up to 70 channels and the memories between chunks; of the sums that are divided by no digit is lost.
const tolerance = 4e-6;
const kernel = { forward: mlstmCell, gradient: mlstmCellGrad, plain };

/** Gates of the given spread; forget gates around `open`. */
function setting(
  b: number,
  H: number,
  T: number,
  d: number,
  { spread = 1, open = 2, ...attrs }: Record<string, unknown> = {},
) {
  const [shape, gates] = [
    [b, H, T, d],
    [b, H, T],
  ];
  return {
    ...kernel,
    shapes: { q: shape, k: shape, v: shape, i: gates, f: gates },
    attrs,
    inputs: {
      i: draw(b * H * T, 8).map((u) => Math.fround((spread as number) * u)),
      f: draw(b * H * T, 9).map((u) => Math.fround((spread as number) * u + (open as number))),
    },
  };
}

describe.each(natives({ emulated: true }))('MlstmCell on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain sums for %i tokens', (T) => {
    // One token outweighs nothing, and forgets nothing: slopes of its gates cancel.
    expectAgreement(native, { ...setting(2, 2, T, 5), floor: T === 1 ? 1 : undefined }, tolerance);
  });

  it.each([
    [1, 1],
    [3, 2],
    [2, 16],
    [1, 17],
    [2, 32],
    [1, 70],
  ])('agrees for %i heads of width %i', (H, d) => {
    expectAgreement(native, setting(1, H, 70, d), tolerance);
  });

  it.each([5, 10, 20])('keeps its digits under gates of ±%i', (spread) => {
    // Where one token outweighs all others, what is left of slopes is small, and is to be as good relative to itself.
    for (const [T, d] of [
      [40, 8],
      [130, 5],
    ])
      expectAgreement(native, setting(2, 2, T, d, { spread, open: 0 }), tolerance);
  });

  it('runs many rows one by one as it runs few side by side', () => {
    expectAgreement(native, setting(4, 5, 130, 3), tolerance);
    expectAgreement(native, setting(4, 5, 130, 3, { spread: 10 }), tolerance);
  });

  it.each([1, 70, 130])('takes %i tokens before the heads', (T) => {
    const heads = setting(2, 3, T, 5, { tokensFirst: true });
    const [wide, narrow] = [
      [2, T, 3, 5],
      [2, T, 3],
    ];
    expectAgreement(
      native,
      { ...heads, shapes: { q: wide, k: wide, v: wide, i: narrow, f: narrow }, floor: T === 1 ? 1 : undefined },
      tolerance,
    );
  });

  it('rounds the inputs of its products under bfloat16, and nothing else', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input: errors of 2⁻⁹ that the sums of a chunk partly even out. Without any rounding they would be below 1e-5.
      const errors = expectAgreement(native, setting(2, 2, 130, 19), 3e-2);
      expect(errors.y).toBeGreaterThan(1e-4);
    } finally {
      native.bfloat16(false);
    }
  });

  it('survives gates of a hundred and more', () => {
    // Weights that are neither 0 nor 1 are few, so most slopes cancel: errors are held to the size of the terms.
    for (const spread of [100, 300])
      expectAgreement(native, { ...setting(1, 2, 130, 4, { spread, open: 0 }), floor: 1 }, 1e-4);
    // The floor of the denominator overflows where all gates are far below 0, and vanishes where they are far above.
    const check = setting(1, 1, 66, 3);
    for (const shift of [-150, 60])
      expectAgreement(
        native,
        { ...check, floor: 1, inputs: { ...check.inputs, i: check.inputs.i.map((u) => u + shift) } },
        1e-4,
      );
  });

  it('serves exponential forget gates', () => {
    for (const open of [-0.5, 0.5]) expectAgreement(native, setting(1, 2, 130, 4, { forgetGate: 'exp', open }), 1e-4);
  });

  it('counts a large eps in', () => {
    expectAgreement(native, setting(1, 2, 130, 4, { eps: 0.1 }), tolerance);
    expectAgreement(native, setting(1, 2, 130, 4, { eps: 0 }), tolerance);
  });

  it('does nothing for an empty batch', () => {
    expectAgreement(native, setting(0, 2, 3, 4), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs } = setting(2, 2, 70, 20);
    const given = { ...inputs, q: draw(5600, 6), k: draw(5600, 7), v: draw(5600, 8) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, size, memories, stabilisers } = native.run(mlstmCell, given, shapes, {});
      return { y, ...native.run(mlstmCellGrad, { ...given, size, memories, stabilisers, dy: y }, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain MlstmCell', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(setting(1, 2, 6, 3));
    expectSlopes(setting(1, 1, 6, 2, { eps: 0.1, forgetGate: 'exp', open: 0 }));
  });

  it('refuses what does not fit, in a sentence', () => {
    const { shapes } = setting(1, 1, 4, 3);
    expect(mlstmCell.refuses?.({ ...shapes, v: [1, 1, 4, 2] }, {})).toMatch(/v \[1,1,4,2\] must have the shape of q/);
    expect(mlstmCell.refuses?.({ ...shapes, f: [1, 1, 3] }, {})).toMatch(/f \[1,1,3\] must be \[1,1,4\]/);
    expect(mlstmCell.refuses?.(shapes, { forgetGate: 'tanh' })).toMatch(/'sigmoid' or 'exp', not tanh/);
  });
});
