// Embedding look-up and scatter-add: native against plain loops.
import { describe, expect, it } from 'vitest';
import { expectAgreement, natives, uniform } from '../core/testing';
import { embedding, embeddingGrad } from './kernel';
import { plain } from './plain';

// The look-up copies; the gradient adds up to 130 float32 rows.
const tolerance = 2e-6;
const kernel = { forward: embedding, gradient: embeddingGrad, plain };

describe.each(natives())('Embedding on $isa', (native) => {
  it.each([
    [1, 1, 1],
    [5, 63, 2],
    [3, 64, 130],
    [257, 65, 64],
    [2, 2, 63],
  ])('agrees with the plain loops for a vocabulary of %i, width %i and %i places', (V, D, count) => {
    const next = uniform(V + D + count);
    const ids = Float64Array.from({ length: count }, () => Math.floor(next() * V));
    expectAgreement(native, { ...kernel, shapes: { table: [V, D], ids: [count] }, inputs: { ids } }, tolerance);
  });

  it('gives unused rows a gradient of 0', () => {
    const ids = Float64Array.of(2, 2);
    const shapes = { table: [4, 3], ids: [2], dy: [2, 3] };
    const dy = Float64Array.of(1, 2, 3, 10, 20, 30);
    const { dtable } = native.run(embeddingGrad, { table: new Float64Array(12), ids, dy }, shapes, {});
    expect([...dtable]).toEqual([0, 0, 0, 0, 0, 0, 11, 22, 33, 0, 0, 0]);
  });

  it('gives a zero gradient for no places', () => {
    expectAgreement(native, { ...kernel, shapes: { table: [3, 5], ids: [0] } }, tolerance);
  });

  it('refuses ids outside the vocabulary', () => {
    for (const id of [-1, 4]) {
      const call = () =>
        native.run(
          embedding,
          { table: new Float64Array(12), ids: Float64Array.of(id) },
          { table: [4, 3], ids: [1] },
          {},
        );
      expect(call).toThrow(/not in 0\.\.vocabulary-1/);
    }
  });
});
