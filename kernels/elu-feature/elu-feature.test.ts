// The features of linear attention: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { eluFeature, eluFeatureGrad } from './kernel';
import { plain } from './plain';

// Elementwise: a few roundings and the unit in the last place of Exp.
const tolerance = 5e-7;
const kernel = { forward: eluFeature, gradient: eluFeatureGrad, plain };
const check = (shape: number[], scale: number) => ({
  ...kernel,
  shapes: { x: shape },
  inputs: {
    x: draw(
      shape.reduce((a, b) => a * b, 1),
      3,
    ).map((u) => Math.fround(4 * u)),
  },
  attrs: { scale },
});

describe.each(natives())('EluFeature on $isa', (native) => {
  it('agrees with the plain loops at odd lengths, and over several parts', () => {
    for (const shape of [[0], [1], [3], [2, 15], [2, 33], [20001]])
      for (const scale of [1, 0.125]) expectAgreement(native, check(shape, scale), tolerance);
  });

  it('lets NaN and large numbers through', () => {
    const { y } = native.run(eluFeature, { x: Float64Array.of(Number.NaN, 200, -200, 0) }, { x: [4] }, { scale: 2 });
    expect(y[0]).toBeNaN();
    expect(Array.from(y.slice(1))).toEqual([402, 0, 2]);
  });
});

describe('plain EluFeature', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(check([2, 5], 0.5));
  });

  it('refuses a scale of 0', () => {
    expect(eluFeature.refuses?.({ x: [2] }, { scale: 0 })).toMatch(/scale must be above 0/);
  });
});
