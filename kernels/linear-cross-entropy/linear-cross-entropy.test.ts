// Linear map and cross-entropy together: native against plain loops, tied and not, in one piece and in several; masks and bad targets.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives, uniform } from '../core/testing';
import { linearCrossEntropy, linearCrossEntropyGrad } from './kernel';
import { plain } from './plain';

const kernel = { forward: linearCrossEntropy, gradient: linearCrossEntropyGrad, plain };
// Float32 sums of up to some hundred products and exponentials, relative to the largest.
const tolerance = 3e-6;

function setting(rows: number, D: number, V: number, tied: boolean) {
  const next = uniform(rows * 1000 + V);
  return {
    shapes: { x: [rows, D], w: tied ? [V, D] : [D, V], targets: [rows] },
    inputs: { targets: Float64Array.from({ length: rows }, () => Math.floor(next() * V)) },
    mask: Float64Array.from({ length: rows }, (_, r) => (r % 3 === 1 ? 0 : 1)),
  };
}

describe.each(natives())('LinearCrossEntropy on $isa', (native) => {
  for (const tied of [false, true])
    it.each([
      [1, 1, 2],
      [2, 5, 63],
      [65, 20, 130],
      [63, 33, 64],
    ])(`agrees with the plain loops for %i rows of %i channels and %i classes, tied ${tied}`, (rows, D, V) => {
      const { shapes, inputs, mask } = setting(rows, D, V, tied);
      for (const labelSmoothing of [0, 0.1]) {
        const attrs = { tied, labelSmoothing };
        expectAgreement(native, { ...kernel, shapes, inputs, attrs }, tolerance);
        // A single row of the first kind is graded nowhere but in a mask of ones.
        if (rows > 1)
          expectAgreement(
            native,
            { ...kernel, shapes: { ...shapes, mask: [rows] }, inputs: { ...inputs, mask }, attrs },
            tolerance,
          );
      }
    });

  it('works through many rows in pieces, with the same bits for any number of threads', () => {
    const [rows, D, V] = [300, 3, 40_000]; // 4 Mi logits at a time: three pieces
    for (const tied of [false, true]) {
      const { shapes, inputs } = setting(rows, D, V, tied);
      const check = { ...kernel, shapes, inputs, attrs: { tied }, floor: 1e-6 };
      expectAgreement(native, check, tolerance);
      const given = { ...inputs, x: draw(rows * D, 1), w: draw(D * V, 2) };
      const [one, ...more] = [1, 2, 16].map((threads) => {
        native.threads(threads);
        return native.run(linearCrossEntropy, given, shapes, { tied });
      });
      for (const other of more) expect(other).toEqual(one);
      native.threads(2);
    }
  });

  it('names a graded target out of range, and passes over it where it is not graded', () => {
    const { shapes, inputs } = setting(4, 3, 5, true);
    const bad = { ...inputs, targets: Float64Array.of(0, 9, 1, 2), x: draw(12, 1), w: draw(15, 2) };
    expect(() => native.run(linearCrossEntropy, bad, shapes, { tied: true })).toThrow(/a graded target is not in 0/);
    const masked = { ...bad, mask: Float64Array.of(1, 0, 1, 1) };
    const { loss } = native.run(linearCrossEntropy, masked, { ...shapes, mask: [4] }, { tied: true });
    expect(loss[0]).toBeGreaterThan(0);
  });
});

describe('plain LinearCrossEntropy', () => {
  it('has the slopes that it claims', () => {
    for (const tied of [false, true]) {
      const { shapes, inputs } = setting(4, 3, 5, tied);
      expectSlopes({ ...kernel, shapes, inputs, attrs: { tied, labelSmoothing: 0.1 } });
    }
  });

  it('refuses what does not fit', () => {
    const shapes = { x: [4, 3], w: [5, 3], targets: [4] };
    expect(linearCrossEntropy.refuses?.(shapes, {})).toMatch(/w \[5,3\] does not take the 3 channels/);
    expect(linearCrossEntropy.refuses?.({ ...shapes, targets: [3] }, { tied: true })).toMatch(/targets has 3 entries/);
  });
});
