// RMSNorm, plain, of a sum, and gated: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { expectAgreement, expectSlopes, natives } from '../core/testing';
import { addRmsNorm, addRmsNormGrad, gatedRmsNorm, gatedRmsNormGrad, rmsNorm, rmsNormGrad } from './kernel';
import { plain } from './plain';

// Sums of at most a few hundred float32 products: 2e-6 of the largest entry is some ten roundings.
const tolerance = 2e-6;
// A single channel is normalised to ±1 whatever it is: its gradient is terms of the order of 1 that cancel.
const floorFor = (width: number) => (width === 1 ? 1 : undefined);
const whole = { forward: rmsNorm, gradient: rmsNormGrad, plain };
const added = { forward: addRmsNorm, gradient: addRmsNormGrad, plain };
const gated = { forward: gatedRmsNorm, gradient: gatedRmsNormGrad, plain };

describe.each(natives())('RmsNorm on $isa', (native) => {
  it.each([
    [1, 1],
    [2, 63],
    [63, 64],
    [64, 65],
    [130, 2],
    [65, 130],
  ])('agrees with the plain loops for %i rows of %i channels', (rows, width) => {
    expectAgreement(
      native,
      { ...whole, shapes: { x: [rows, width], weight: [width] }, attrs: { epsilon: 1e-2 }, floor: floorFor(width) },
      tolerance,
    );
    const shapes = { x: [rows, width], y: [rows, width], weight: [width] };
    expectAgreement(native, { ...added, shapes, attrs: { epsilon: 1e-2 }, floor: floorFor(width) }, tolerance);
  });

  it('takes leading axes and groups of channels', () => {
    const shapes = { x: [2, 3, 4, 15], weight: [15] };
    expectAgreement(native, { ...whole, shapes, attrs: { epsilon: 1e-6, groups: 3 } }, tolerance);
  });

  it.each([true, false])('agrees with a gate, gateFirst %s, whole and in groups', (gateFirst) => {
    for (const [rows, width, groups] of [
      [1, 1, 1],
      [65, 63, 1],
      [130, 34, 2],
    ]) {
      const shapes = { x: [rows, width], gate: [rows, width], weight: [width] };
      expectAgreement(
        native,
        { ...gated, shapes, attrs: { epsilon: 1e-2, groups, gateFirst }, floor: floorFor(width) },
        tolerance,
      );
    }
  });

  it('gives the same bits on one thread and on two', () => {
    const shapes = { x: [300, 64], weight: [64], rstd: [300, 1], dy: [300, 64] };
    const inputs = { x: new Float64Array(19200).map((_, i) => Math.sin(i)), weight: new Float64Array(64).fill(1.5) };
    const more = { rstd: new Float64Array(300).fill(0.7), dy: new Float64Array(19200).map((_, i) => Math.cos(i)) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      return native.run(rmsNormGrad, { ...inputs, ...more }, shapes, {}).dweight;
    });
    expect(results[1]).toEqual(results[0]);
  });

  it('is empty for an empty batch, with a zero gradient of the weight', () => {
    const shapes = { x: [0, 3], weight: [3], rstd: [0, 1], dy: [0, 3] };
    const none = new Float64Array(0);
    const inputs = { x: none, weight: new Float64Array(3).fill(1), rstd: none, dy: none };
    expect(native.run(rmsNormGrad, inputs, shapes, {}).dweight).toEqual(new Float64Array(3));
  });
});

describe('plain RmsNorm', () => {
  it('has the slopes that it claims', () => {
    expectSlopes({ ...whole, shapes: { x: [3, 12], weight: [12] }, attrs: { epsilon: 1e-2, groups: 2 } });
    for (const gateFirst of [true, false]) {
      const shapes = { x: [3, 12], gate: [3, 12], weight: [12] };
      expectSlopes({ ...gated, shapes, attrs: { epsilon: 1e-2, groups: 3, gateFirst } });
    }
  });

  it('refuses groups that do not divide the channels, and a weight of another width', () => {
    expect(rmsNorm.refuses?.({ x: [2, 5], weight: [5] }, { epsilon: 1e-5, groups: 2 })).toMatch(
      /5 channels .* 2 groups/,
    );
    expect(rmsNorm.refuses?.({ x: [2, 5], weight: [4] }, { epsilon: 1e-5 })).toMatch(/weight has 4 entries/);
  });
});
