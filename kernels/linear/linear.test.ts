// Several linear maps of one input: native against plain loops on every way of cutting the work, in bfloat16, and the same bits for any threads.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { COUNTS, kernels } from './kernel';
import { plain } from './plain';

const find = (name: string) => kernels.find((kernel) => kernel.name === name)!;

/** Weights of their own, and one weight that is split, with these columns. */
function both(rows: readonly number[], D: number, columns: readonly number[]) {
  const count = columns.length;
  const x = [...rows, D];
  return [
    {
      forward: find(`Linear${count}`),
      gradient: find(`Linear${count}Grad`),
      plain,
      shapes: { x, ...Object.fromEntries(columns.map((n, i) => [`w${i}`, [D, n]])) } as Record<string, number[]>,
    },
    {
      forward: find(`SplitLinear${count}`),
      gradient: find(`SplitLinear${count}Grad`),
      plain,
      shapes: { x, w: [D, columns.reduce((a, b) => a + b, 0)] } as Record<string, number[]>,
      attrs: { columns },
    },
  ];
}

// Sums of up to 2,300 terms in float32, relative to the largest: some sqrt(2,300) roundings of 6e-8.
const tolerance = 5e-6;

const ways: [readonly number[], number, readonly number[]][] = [
  [[1], 1, [1, 1]],
  [[2, 3], 5, [4, 1, 7]],
  [[1, 8], 70, [33, 300]], // few rows
  [[310], 130, [150, 40, 90]], // tiles of several maps
  [[130], 300, [700, 650]], // a sum over k that fills more than one chunk
  [[1100], 40, [64, 16, 8, 100]], // gradients of weights in parts of k
  [[2300], 66, [130, 5]],
];

for (const native of natives({ emulated: true }))
  describe(native.isa, () => {
    it.each(ways)('%j rows of %i channels to %j', (rows, D, columns) => {
      for (const check of both(rows, D, columns)) expectAgreement(native, check, tolerance);
    });

    it('in bfloat16 takes numbers that are so already as they are', () => {
      const coarse = (size: number, seed: number) => draw(size, seed).map((u) => Math.round(u * 64) / 64);
      native.bfloat16(true);
      try {
        for (const check of both([310], 130, [150, 40, 90])) {
          const inputs = Object.fromEntries(
            Object.entries(check.shapes).map(([name, shape], i) => [name, coarse(shape[0] * shape[1], i)]),
          );
          expectAgreement(native, { ...check, gradient: undefined, inputs }, tolerance);
        }
      } finally {
        native.bfloat16(false);
      }
    });

    it('gives the same bits for any number of threads', () => {
      for (const { forward, gradient, shapes, attrs } of both([1100], 66, [150, 40, 90])) {
        const inputs = Object.fromEntries(
          Object.entries(shapes).map(([name, [a, b]], i) => [name, draw(a * b, i)]),
        ) as Record<string, Float64Array>;
        const slopes = { dy0: draw(1100 * 150, 7), dy1: draw(1100 * 40, 8), dy2: draw(1100 * 90, 9) };
        const all = { ...shapes, dy0: [1100, 150], dy1: [1100, 40], dy2: [1100, 90] };
        const results = [1, 2, 3, 16].map((threads) => {
          native.threads(threads);
          const y = native.run(forward, inputs, shapes, attrs ?? {});
          return { ...y, ...native.run(gradient, { ...inputs, ...slopes }, all, attrs ?? {}) };
        });
        for (const result of results.slice(1)) expect(result).toEqual(results[0]);
      }
      native.threads(2);
    });
  });

describe('plain linear maps', () => {
  it.each(COUNTS)('%i of them have the slopes that they claim', (count) => {
    for (const check of both([2, 3], 4, [3, 2, 5, 1].slice(0, count))) expectSlopes(check);
  });

  it('refuses weights that do not fit', () => {
    expect(find('Linear2').refuses?.({ x: [2, 3], w0: [3, 4], w1: [4, 3] }, {})).toMatch(
      /w1 \[4,3\] does not take the 3 channels/,
    );
    expect(find('SplitLinear2').refuses?.({ x: [2, 3], w: [3, 4] }, { columns: [3, 2] })).toMatch(
      /are not 2 parts of w/,
    );
  });
});
