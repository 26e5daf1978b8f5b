// Depthwise causal convolution: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { expectAgreement, expectSlopes, natives } from '../core/testing';
import { causalConv, causalConvGrad } from './kernel';
import { plain } from './plain';

// A few taps a token; dweight sums up to 260 float32 products.
const tolerance = 2e-6;
const kernel = { forward: causalConv, gradient: causalConvGrad, plain };

describe.each(natives())('CausalConv on $isa', (native) => {
  it.each([
    [1, 1, 1, 1],
    [2, 1, 5, 4],
    [2, 2, 17, 4],
    [1, 63, 33, 3],
    [2, 64, 16, 4],
    [1, 65, 2, 4],
    [2, 130, 20, 2],
  ])('agrees with the plain loops for %i rows of %i tokens, %i channels and %i taps', (B, T, C, K) => {
    for (const activation of ['silu', 'none']) {
      const shapes = { x: [B, T, C], weight: [K, C] };
      expectAgreement(native, { ...kernel, shapes: { ...shapes, bias: [C] }, attrs: { activation } }, tolerance);
      expectAgreement(native, { ...kernel, shapes, attrs: { activation } }, tolerance);
    }
  });

  it.each([
    [1, 1, 1, 3],
    [2, 2, 17, 7],
    [2, 64, 16, 7],
    [1, 65, 5, 5],
    [2, 130, 20, 3],
  ])('looks ahead over %i rows of %i tokens, %i channels and %i taps', (B, T, C, K) => {
    for (const ahead of [1, (K - 1) / 2, K - 1]) {
      const shapes = { x: [B, T, C], weight: [K, C], bias: [C] };
      expectAgreement(native, { ...kernel, shapes, attrs: { activation: 'silu', ahead } }, tolerance);
    }
  });

  it('gives a zero gradient of the weights for an empty batch', () => {
    expectAgreement(native, { ...kernel, shapes: { x: [0, 5, 3], weight: [4, 3], bias: [3] } }, tolerance);
  });

  it('does not look at later tokens', () => {
    const shapes = { x: [1, 5, 1], weight: [3, 1] };
    const weight = Float64Array.of(100, 10, 1);
    const { y } = native.run(causalConv, { x: Float64Array.of(1, 2, 3, 4, Number.NaN), weight }, shapes, {});
    expect([...y.slice(0, 4)]).toEqual([1, 12, 123, 234]);
  });
});

describe('plain CausalConv', () => {
  it.each(['silu', 'none'])('has the slopes that it claims with activation %s', (activation) => {
    expectSlopes({ ...kernel, shapes: { x: [2, 6, 3], weight: [4, 3], bias: [3] }, attrs: { activation } });
  });
});
