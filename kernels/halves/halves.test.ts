// What decoding keeps in bfloat16: rounding, caches, and products and attention to the bits of their forms in 32 bits on rounded numbers.
import { describe, expect, it } from 'vitest';
import { setting } from '../attention-decode/testing';
import { sizeOf, wordsOf } from '../core/kernel';
import { draw, natives } from '../core/testing';
import { fromHalves, halvesAppend, halvesRoom } from './kernel';

const floats = (size: number, seed: number) => Float32Array.from(draw(size, seed));
const bits = new Uint32Array(1);
const asFloat = new Float32Array(bits.buffer);
/** To nearest even. */
function rounded(x: number): number {
  asFloat[0] = x;
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return asFloat[0];
}

describe.each(natives())('halves on $isa', (native) => {
  const halvesOf = (x: Float32Array, width: number) => {
    const words = new Int32Array((x.length / width) * wordsOf(width)).fill(-1);
    native.raw('HalvesOf', [x], [words], [x.length / width, width], []);
    return words;
  };
  const back = (words: Int32Array, width: number) => {
    const rows = words.length / wordsOf(width);
    const x = new Float32Array(rows * width).fill(Number.NaN);
    native.raw('FromHalves', [words], [x], [rows, width], []);
    return x;
  };

  it.each([1, 2, 15, 16, 17, 31, 32, 33, 130])('rounds rows of %i numbers and reads them back', (width) => {
    const x = floats(3 * width, width);
    x[0] = Number.POSITIVE_INFINITY;
    const words = halvesOf(x, width);
    expect(back(words, width)).toEqual(x.map(rounded));
    if (width % 2) for (let row = 1; row <= 3; row++) expect(words[row * wordsOf(width) - 1] >>> 16).toBe(0);
  });

  it('makes room with zeros, and writes a token where it is told', () => {
    const [outer, width] = [2, 5];
    const words = halvesOf(floats(outer * 3 * width, 1), width);
    const roomy = new Int32Array(outer * 7 * wordsOf(width)).fill(-1);
    native.raw('HalvesRoom', [words], [roomy], halvesRoom.ints({ cache: [outer, 3, wordsOf(width)] }, { room: 7 }), []);
    const row = floats(outer * width, 2);
    native.raw('HalvesAppend', [roomy, row, Int32Array.of(3)], [roomy], [outer, 7, width], []);
    const [kept, cache] = [back(words, width), back(roomy, width)];
    for (let g = 0; g < outer; g++) {
      const at = g * 7 * width;
      expect(cache.subarray(at, at + 3 * width)).toEqual(kept.subarray(g * 3 * width, (g + 1) * 3 * width));
      const written = row.subarray(g * width, (g + 1) * width).map(rounded);
      expect(cache.subarray(at + 3 * width, at + 4 * width)).toEqual(written);
      expect(cache.subarray(at + 4 * width, at + 7 * width).every((value) => value === 0)).toBe(true);
    }
    expect(() => native.raw('HalvesAppend', [roomy, row, Int32Array.of(7)], [roomy], [outer, 7, width], [])).toThrow(
      'outside of the cache',
    );
  });

  // Sums along k go the same way in both forms.
  const inBoth = (
    kernel: string,
    served: string,
    x: Float32Array,
    weights: Float32Array[],
    sizes: number[],
    numbers: number[],
  ) => {
    const run = (name: string, given: (Float32Array | Int32Array)[]) => {
      const outputs = sizes.map((size) => new Float32Array(size).fill(Number.NaN));
      native.raw(name, [x, ...given], outputs, numbers, []);
      return outputs;
    };
    native.bfloat16(true);
    const expected = run(kernel, weights);
    native.bfloat16(false);
    const words = weights.map((weight) => halvesOf(weight, weight.length));
    for (const threads of [1, 2]) {
      native.threads(threads);
      expect(run(served, words)).toEqual(expected);
    }
    native.threads(1);
  };

  it.each([1, 2, 3, 8])('multiplies %i rows', (m) => {
    for (const [n, k] of [
      [1 + m, 1],
      [17, 5],
      [255, 64],
      [257, 33],
      [700, 300],
      [1100, 70],
    ])
      for (const transB of [0, 1]) {
        const sizes = [1, m, n, k, 0, transB, m * k, k * n];
        inBoth('MatMul', 'ServedMatMul', floats(m * k, 1), [floats(k * n, 2)], [m * n], sizes);
      }
    const maps = [m, 96, 3, 300, 31, 64];
    const weights = [300, 31, 64].map((n, i) => floats(96 * n, i));
    inBoth('Linear3', 'ServedLinear', floats(m * 96, 7), weights, [300 * m, 31 * m, 64 * m], maps);
    inBoth(
      'SplitLinear3',
      'ServedSplitLinear',
      floats(m * 96, 7),
      [floats(96 * 395, 5)],
      [300 * m, 31 * m, 64 * m],
      maps,
    );
  });

  it('multiplies a batch of weights', () => {
    const sizes = [3, 2, 40, 24, 0, 1, 48, 960];
    inBoth('MatMul', 'ServedMatMul', floats(144, 1), [floats(2880, 2)], [240], sizes);
  });

  it('attends over caches', () => {
    for (const size of [
      { H: 4, G: 4, n: 600, a: 64, e: 64, room: 3 },
      { H: 4, G: 4, n: 1400, a: 64, e: 80 },
      { B: 2, H: 4, G: 1, n: 70, a: 33, e: 33, r: 18, room: 5 },
      { H: 4, G: 2, n: 40, a: 24, e: 47, wider: 24, softCap: 1.5, sinks: true },
      { H: 2, G: 2, n: 5, a: 7, e: 1 },
    ]) {
      const { shapes, attrs, forward } = setting(size);
      const x = Object.fromEntries(
        Object.entries(shapes).map(([name, shape], i) => [name, floats(sizeOf(shape), i + 1)]),
      );
      if (shapes.length) x.length = Int32Array.of(size.n) as never;
      const caches = ['k', 'v', 'ks'].filter((name) => shapes[name]);
      const widthOf = (name: string) => shapes[name][shapes[name].length - 1];
      for (const name of caches) x[name] = x[name].map(rounded);
      const names = forward.inputs.map((name) => name.replace('?', ''));
      const outputs = () => new Float32Array(size.H * (size.B ?? 1) * size.e).fill(Number.NaN);
      const [expected, found] = [outputs(), outputs()];
      const reals = forward.floats!(attrs);
      native.raw(
        'AttentionDecode',
        names.map((name) => x[name]),
        [expected],
        forward.ints(shapes, attrs),
        reals,
      );
      const words = { ...x, ...Object.fromEntries(caches.map((name) => [name, halvesOf(x[name], widthOf(name))])) };
      const numbers = forward.ints({ ...shapes, k: [...shapes.k.slice(0, 3), 2 * wordsOf(widthOf('k'))] }, attrs);
      const apart = ['v', 'ks'].map((name) => (shapes[name] ? 2 * wordsOf(widthOf(name)) : 0));
      native.raw(
        'AttentionDecodeHalves',
        names.map((name) => words[name]),
        [found],
        [...numbers, ...apart],
        reals,
      );
      expect(found).toEqual(expected);
    }
  });
});

it('refuses shapes that do not fit, in a sentence', () => {
  expect(fromHalves.refuses?.({ words: [3, 4] }, { width: 9 })).toMatch(/do not hold rows of 9 numbers/);
  expect(halvesRoom.refuses?.({ cache: [2, 8, 4] }, { room: 7 })).toMatch(/does not fit into room for 7 tokens/);
  const append = { cache: [2, 8, 4], row: [2, 1, 7], at: [1] };
  expect(halvesAppend.refuses?.(append, { width: 7 })).toBeUndefined();
  expect(halvesAppend.refuses?.(append, { width: 9 })).toMatch(/for rows of 9 numbers/);
  expect(halvesAppend.refuses?.({ ...append, row: [2, 6] }, { width: 7 })).toMatch(/does not hold one token of 7/);
});
