// Optimiser steps and the sum of squares: native against plain loops.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, natives } from '../core/testing';
import { adamw, sgd, squareSum } from './kernel';
import { plain } from './plain';

// A handful of float32 operations an element.
const tolerance = 1e-6;
const lengths = [1, 2, 63, 64, 65, 130, 40001];

describe.each(natives())('Optimiser steps on $isa', (native) => {
  it.each(lengths)('AdamW agrees with the plain loops for %i numbers', (n) => {
    const shapes = { weight: [n], gradient: [n], first: [n], second: [n] };
    const second = draw(n, 7).map((u) => Math.fround(u * u));
    const attrs = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, updates: 3 };
    const check = { forward: adamw, plain, shapes, attrs, inputs: { second } };
    expectAgreement(native, check, tolerance);
    const scaled = { shapes: { ...shapes, scale: [] }, inputs: { second, scale: Float64Array.of(0.25) } };
    expectAgreement(native, { ...check, ...scaled }, tolerance);
  });

  it('AdamW moves by lr on the first update and not at all without a gradient', () => {
    const zero = new Float64Array(3);
    const given = { weight: zero, gradient: Float64Array.of(1e-3, -5, 0), first: zero, second: zero };
    const shapes = { weight: [3], gradient: [3], first: [3], second: [3] };
    const attrs = { lr: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-12, weightDecay: 0, updates: 1 };
    const { weight } = native.run(adamw, given, shapes, attrs);
    expect(weight[0]).toBeCloseTo(-0.5, 5);
    expect(weight[1]).toBeCloseTo(0.5, 5);
    expect(weight[2]).toBe(0);
  });

  it.each(lengths)('SGD agrees with the plain loops for %i numbers', (n) => {
    const shapes = { weight: [n], gradient: [n] };
    const check = { forward: sgd, plain, shapes, attrs: { lr: 0.1, momentum: 0.9, weightDecay: 0.01 } };
    expectAgreement(native, check, tolerance);
    const heavy = { ...check, shapes: { ...shapes, buffer: [n], scale: [] } };
    expectAgreement(native, heavy, tolerance);
    expectAgreement(native, { ...heavy, attrs: { ...heavy.attrs, nesterov: true } }, tolerance);
  });

  it.each(lengths)('SquareSum agrees with the plain loops for %i numbers', (n) => {
    // Added in float64: only the result is rounded.
    expectAgreement(native, { forward: squareSum, plain, shapes: { x: [n] } }, 1e-7);
  });
});

describe('AdamW', () => {
  it('refuses moments of another shape by name', () => {
    const shapes = { weight: [2, 3], gradient: [2, 3], first: [6], second: [2, 3] };
    expect(adamw.refuses?.(shapes, {})).toMatch(/first \[6\] differs/);
  });
});
