// Sums, extremes and running sums along an axis, and the largest of each row: against float64 loops, with NaN, on any number of threads.
import { describe, expect, it } from 'vitest';
import { draw, natives, relativeError } from '../core/testing';
import type { reductions } from './kernel';
import { plain } from './plain';

const nan = (size: number) => new Float32Array(size).fill(Number.NaN);
/** Outer, length, inner; the last ones are cut in parts. */
const SHAPES = [
  [1, 1, 1],
  [3, 63, 1],
  [2, 5, 17],
  [7, 1, 33],
  [4, 130, 65],
  [1, 9001, 1],
  [2, 700, 70],
] as const;

describe.each(natives())('reductions on $isa', (native) => {
  const reduced = (kernel: string, x: Float32Array, [outer, length, inner]: readonly number[], scale = 1) => {
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const y = nan(outer * inner);
      native.raw(kernel, [x], [y], [outer, length, inner], [scale]);
      return y;
    });
    expect(results[1]).toEqual(results[0]);
    return Float64Array.from(results[0]);
  };
  const plainly = (reduction: (typeof reductions)[number], x: Float32Array, [outer, , inner]: readonly number[]) =>
    plain.ReduceAxis({ x: Float64Array.from(x) }, { x: [x.length] }, { outer, inner, reduction }).y;

  it.each(SHAPES)('agree with the plain loops over [%i, %i, %i]', (...shape) => {
    const [outer, length, inner] = shape;
    const x = Float32Array.from(draw(outer * length * inner, 1));
    // Float32 sums of up to 9,001 terms below 1, added in parts of at most 4,096: some hundred roundings of the sum so far.
    const terms = Math.sqrt(length);
    expect(relativeError(reduced('ReduceSum', x, shape), plainly('Sum', x, shape), terms)).toBeLessThan(2e-6);
    const mean = reduced('ReduceSum', x, shape, 1 / length);
    expect(relativeError(mean, plainly('Mean', x, shape), terms / length)).toBeLessThan(2e-6);
    expect(reduced('ReduceMax', x, shape)).toEqual(plainly('Max', x, shape));
    expect(reduced('ReduceMin', x, shape)).toEqual(plainly('Min', x, shape));
  });

  it.each(SHAPES)('make NaN of a NaN anywhere in [%i, %i, %i], and of no other stretch', (...shape) => {
    const [outer, length, inner] = shape;
    for (const place of new Set([0, Math.floor(length / 2), length - 1])) {
      const x = Float32Array.from(draw(outer * length * inner, 2));
      x[place * inner + inner - 1] = Number.NaN; // of the last stretch of the first row
      for (const kernel of ['ReduceSum', 'ReduceMax', 'ReduceMin']) {
        const y = reduced(kernel, x, shape);
        expect([...y].map(Number.isNaN), `${kernel} at ${place}`).toEqual([...y].map((_, i) => i === inner - 1));
      }
    }
  });

  it('finds the largest of each row, the first of equals', () => {
    const y = new Int32Array(4);
    const x = Float32Array.of(1, 5, 5, -1, -2, -1, 0, 0, 0, -4, -3, Number.NEGATIVE_INFINITY);
    native.raw('ArgMaxRows', [x], [y], [4, 3], []);
    expect([...y]).toEqual([1, 0, 0, 1]);
  });

  it.each([
    [1, 1, 1],
    [3, 65, 1],
    [2, 17, 33],
  ])('add up along [%i, %i, %i], both ways, with and without the element itself', (outer, length, inner) => {
    const x = Float32Array.from(draw(outer * length * inner, 3));
    for (const exclusive of [0, 1])
      for (const reverse of [0, 1]) {
        const y = nan(x.length);
        native.raw('Cumsum', [x], [y], [outer, length, inner, exclusive, reverse], []);
        const due = new Float64Array(x.length);
        for (let o = 0; o < outer; o++)
          for (let j = 0; j < inner; j++) {
            let sum = 0;
            for (let step = 0; step < length; step++) {
              const at = (o * length + (reverse ? length - 1 - step : step)) * inner + j;
              due[at] = exclusive ? sum : sum + x[at];
              sum += x[at];
            }
          }
        // At most 65 roundings of sums of a few units.
        expect(relativeError(Float64Array.from(y), due, 1)).toBeLessThan(2e-6);
      }
  });
});
