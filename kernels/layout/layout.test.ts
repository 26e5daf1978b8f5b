// Moving elements: strided copies of up to twelve axes, swapped axes at sizes off the tiles, fills. All exact.
import { describe, expect, it } from 'vitest';
import { draw, natives } from '../core/testing';

const nan = (size: number) => new Float32Array(size).fill(Number.NaN);

/** Bit for bit; a difference is told by its first place, since a picture of long arrays takes minutes. */
function same(y: Float32Array | Int32Array, due: Float32Array | Int32Array): void {
  expect(y.length).toBe(due.length);
  expect(y.findIndex((value, i) => !Object.is(value, due[i]))).toBe(-1);
}

interface Copy {
  dims: number[];
  from: { offset: number; steps: number[] };
  to: { offset: number; steps: number[] };
}
/** Steps of a whole array. */
const whole = (dims: number[]) => dims.map((_, d) => dims.slice(d + 1).reduce((n, size) => n * size, 1));

function strided(x: Float32Array, y: Float32Array, { dims, from, to }: Copy): Float32Array {
  const at = dims.map(() => 0);
  const place = ({ offset, steps }: Copy['from']) => offset + at.reduce((sum, i, d) => sum + i * steps[d], 0);
  const result = y.slice();
  for (let left = dims.reduce((n, size) => n * size, 1); left > 0; left--) {
    result[place(to)] = x[place(from)];
    for (let d = dims.length - 1; d >= 0 && ++at[d] === dims[d]; d--) at[d] = 0;
  }
  return result;
}

const copies: Record<string, Copy> = {
  'one element': { dims: [1], from: { offset: 2, steps: [1] }, to: { offset: 1, steps: [1] } },
  'a long row': { dims: [70_001], from: { offset: 3, steps: [1] }, to: { offset: 5, steps: [1] } },
  'a slice of three axes': {
    dims: [3, 5, 7],
    from: { offset: 4, steps: [200, 20, 1] },
    to: { offset: 0, steps: whole([3, 5, 7]) },
  },
  'one number over a plane': { dims: [9, 17], from: { offset: 6, steps: [0, 0] }, to: { offset: 0, steps: [17, 1] } },
  'a row repeated': { dims: [40, 33], from: { offset: 0, steps: [0, 1] }, to: { offset: 2, steps: [34, 1] } },
  'columns to rows': { dims: [13, 11], from: { offset: 0, steps: [1, 13] }, to: { offset: 0, steps: [11, 1] } },
  'twelve axes': {
    dims: [2, 1, 3, 1, 2, 1, 2, 1, 2, 1, 2, 3],
    from: { offset: 1, steps: whole([2, 1, 3, 1, 2, 1, 2, 1, 2, 1, 2, 3]) },
    to: { offset: 0, steps: whole([2, 1, 3, 1, 2, 1, 2, 1, 2, 1, 2, 3]) },
  },
};

describe.each(natives())('layout on $isa', (native) => {
  it.each(Object.keys(copies))('copies %s, and touches nothing else', (name) => {
    const { dims, from, to } = copies[name];
    const x = Float32Array.from(draw(80_000, 1));
    const before = new Float32Array(80_000).fill(7);
    for (const threads of [1, 2]) {
      native.threads(threads);
      const y = before.slice();
      const ints = [dims.length, from.offset, to.offset, ...dims, ...from.steps, ...to.steps];
      native.raw('StridedCopy', [x], [y], ints, []);
      same(y, strided(x, before, copies[name]));
    }
  });

  it.each([
    [1, 1, 1, 1],
    [2, 33, 65, 1],
    [3, 31, 4, 1],
    [1, 130, 127, 1],
    [4, 3, 5, 7],
    [2, 17, 9, 64],
  ])('swaps the axes of %i times [%i, %i] elements of %i', (batch, rows, columns, each) => {
    const x = Float32Array.from(draw(batch * rows * columns * each, 2));
    const y = nan(x.length);
    native.raw('SwapAxes', [x], [y], [batch, rows, columns, each], []);
    const due = nan(x.length);
    for (let b = 0; b < batch; b++)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++)
          for (let e = 0; e < each; e++)
            due[((b * columns + c) * rows + r) * each + e] = x[((b * rows + r) * columns + c) * each + e];
    same(y, due);
  });

  it('fills floats and whole numbers', () => {
    for (const count of [1, 63, 70_001]) {
      const floats = nan(count);
      native.raw('Fill', [], [floats], [count], [0.1]);
      same(floats, new Float32Array(count).fill(0.1));
      const whole = new Int32Array(count);
      native.raw('FillInt', [], [whole], [count], [-3]);
      same(whole, new Int32Array(count).fill(-3));
    }
  });
});
