// Softmax of rows: native against plain loops at odd widths, large and equal logits, and the same bits on any number of threads.
import { describe, expect, it } from 'vitest';
import { draw, natives, relativeError } from '../core/testing';
import { plain } from './plain';

const softmax = (x: Float32Array, width: number) =>
  plain.SoftmaxRows({ x: Float64Array.from(x) }, { x: [x.length / width, width] }, {}).y;

describe.each(natives())('softmax on $isa', (native) => {
  const run = (x: Float32Array, width: number) => {
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const y = new Float32Array(x.length).fill(Number.NaN);
      native.raw('Softmax', [x], [y], [x.length / width, width], []);
      return y;
    });
    expect(results[1]).toEqual(results[0]);
    return Float64Array.from(results[0]);
  };

  it.each([
    [1, 1],
    [5, 3],
    [63, 17],
    [2, 130],
    [33, 257],
    [400, 64],
  ])('agrees with the plain loops for %i rows of %i', (rows, width) => {
    const x = Float32Array.from(draw(rows * width, 1), (u) => 5 * u);
    // An exponential is right to a unit in the last place, its sum to a few.
    expect(relativeError(run(x, width), softmax(x, width))).toBeLessThan(1e-6);
  });

  it('holds with logits that no exponential could take, and where all are equal', () => {
    const large = Float32Array.from(draw(3 * 19, 2), (u) => 1000 + 3 * u);
    expect(relativeError(run(large, 19), softmax(large, 19))).toBeLessThan(1e-6);
    const equal = new Float32Array(2 * 33).fill(-500);
    for (const share of run(equal, 33)) expect(share).toBeCloseTo(1 / 33, 7);
  });

  it('gives a hidden logit no share, and rows that sum to one', () => {
    const x = Float32Array.from(draw(4 * 21, 3));
    for (let row = 0; row < 4; row++) x[row * 21 + 20 - row] = Number.NEGATIVE_INFINITY;
    const y = run(x, 21);
    for (let row = 0; row < 4; row++) {
      expect(y[row * 21 + 20 - row]).toBe(0);
      expect(y.subarray(row * 21, (row + 1) * 21).reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    }
  });
});
