// Rows by index, and rows added up by index: exact against loops, refusals, the same bits on any number of threads.
import { describe, expect, it } from 'vitest';
import { draw, natives, uniform } from '../core/testing';

const nan = (size: number) => new Float32Array(size).fill(Number.NaN);
const indices = (count: number, below: number) => {
  const next = uniform(7);
  return Int32Array.from({ length: count }, () => Math.floor(next() * below));
};

describe.each(natives())('gather on $isa', (native) => {
  it.each([
    [1, 1, 1, 1],
    [1, 5, 63, 9],
    [3, 7, 17, 4],
    [2, 300, 130, 257],
    [5, 2, 1, 33],
  ])('takes rows of the middle axis of [%i, %i, %i] at %i indices', (outer, length, inner, count) => {
    const x = Float32Array.from(draw(outer * length * inner, 1));
    const index = indices(count, length);
    const y = nan(outer * count * inner);
    native.raw('Gather', [x, index], [y], [outer, length, inner, count], []);
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < count; i++)
        expect(y.subarray((o * count + i) * inner, (o * count + i + 1) * inner)).toEqual(
          x.subarray((o * length + index[i]) * inner, (o * length + index[i] + 1) * inner),
        );
  });

  it.each([-1, 4])('refuses the index %i of an axis of 4', (wrong) => {
    const call = () =>
      native.raw('Gather', [new Float32Array(12), Int32Array.of(0, wrong)], [nan(6)], [1, 4, 3, 2], []);
    expect(call).toThrow('an index is outside the axis');
  });

  it.each([
    [1, 1, 1],
    [40, 17, 5],
    [2000, 63, 33], // enough for several parts
  ])('adds %i rows of %i up in %i segments, in their order', (count, inner, segments) => {
    const x = Float32Array.from(draw(count * inner, 2));
    const id = indices(count, segments);
    const due = new Float32Array(segments * inner);
    for (let i = 0; i < count; i++) for (let j = 0; j < inner; j++) due[id[i] * inner + j] += x[i * inner + j];
    for (const threads of [1, 2]) {
      native.threads(threads);
      const y = nan(segments * inner);
      native.raw('SegmentSum', [x, id], [y], [count, inner, segments], []);
      // float32 sums in one order have one result.
      expect(y).toEqual(due);
    }
  });

  it('leaves ids outside the segments out, and a segment without rows at 0', () => {
    const y = nan(3);
    native.raw('SegmentSum', [Float32Array.of(1, 2, 4, 8), Int32Array.of(-1, 0, 3, 2)], [y], [4, 1, 3], []);
    expect([...y]).toEqual([2, 0, 8]);
  });
});
