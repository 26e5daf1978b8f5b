// LayerNorm: native against plain loops, forward and gradient.
import { describe, expect, it } from 'vitest';
import { expectAgreement, expectSlopes, natives } from '../core/testing';
import { layerNorm, layerNormGrad } from './kernel';
import { plain } from './plain';

// Sums of at most a few hundred float32 products; the gradient of x is a difference of such sums.
const tolerance = 4e-6;
const kernel = { forward: layerNorm, gradient: layerNormGrad, plain };

describe.each(natives())('LayerNorm on $isa', (native) => {
  it.each([
    [1, 1],
    [63, 3],
    [2, 63],
    [64, 65],
    [65, 130],
    [130, 64],
  ])('agrees with the plain loops for %i rows of %i channels', (rows, width) => {
    const shapes = { x: [rows, width], weight: [width], bias: [width] };
    // With one channel everything cancels to 0.
    expectAgreement(
      native,
      { ...kernel, shapes, attrs: { epsilon: 1e-2 }, floor: width === 1 ? 1 : undefined },
      tolerance,
    );
  });

  it('works without a bias', () => {
    expectAgreement(
      native,
      { ...kernel, shapes: { x: [3, 4, 20], weight: [20] }, attrs: { epsilon: 1e-5 } },
      tolerance,
    );
  });

  it('keeps its digits when the mean is large beside the spread', () => {
    const x = new Float64Array(2 * 37).map((_, i) => Math.fround(1000 + Math.sin(i)));
    const { y } = native.run(
      layerNorm,
      { x, weight: new Float64Array(37).fill(1) },
      { x: [2, 37], weight: [37] },
      { epsilon: 1e-5 },
    );
    const plainly = plain.LayerNorm(
      { x, weight: new Float64Array(37).fill(1) },
      { x: [2, 37], weight: [37] },
      { epsilon: 1e-5 },
    );
    // x itself is only good to 3e-5 about 1000, and so is the mean.
    for (let i = 0; i < y.length; i++) expect(Math.abs(y[i] - plainly.y[i])).toBeLessThan(2e-4);
  });
});

describe('plain LayerNorm', () => {
  it('has the slopes that it claims', () => {
    expectSlopes({ ...kernel, shapes: { x: [3, 7], weight: [7], bias: [7] }, attrs: { epsilon: 1e-2 } });
  });
});
