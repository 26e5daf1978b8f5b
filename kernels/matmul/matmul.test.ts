// Matrix products on every instruction set: against float64 sums, with NaN-filled outputs and scratch; in bfloat16 against rounded inputs;
// what is added; NaN and infinity stay in their row.
import { describe, expect, it } from 'vitest';
import { draw, natives } from '../core/testing';

interface Sizes {
  batch?: number;
  m: number;
  n: number;
  k: number;
  transA?: boolean;
  transB?: boolean;
}

const floats = (size: number, seed: number) => Float32Array.from(draw(size, seed));
const bits = new Uint32Array(1);
const asFloat = new Float32Array(bits.buffer);
/** To nearest even. */
function roundBf16(x: number): number {
  asFloat[0] = x;
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return asFloat[0];
}

for (const native of natives({ emulated: true }))
  describe(native.isa, () => {
    const product = (
      a: Float32Array,
      b: Float32Array,
      { batch = 1, m, n, k, transA = false, transB = false }: Sizes,
    ) => {
      const c = new Float32Array(batch * m * n).fill(Number.NaN);
      native.raw('MatMul', [a, b], [c], [batch, m, n, k, Number(transA), Number(transB), m * k, k * n], []);
      return c;
    };
    /** Numbers in (-1, 1) that are bfloat16 already, so that rounding changes nothing: one bit of rounding would be 4e-3. */
    const coarse = (size: number, seed: number) => Float32Array.from(draw(size, seed), roundBf16);
    const check = (sizes: Sizes, numbers: (size: number, seed: number) => Float32Array = floats) => {
      const { batch = 1, m, n, k } = sizes;
      const a = numbers(batch * m * k, 1);
      const b = numbers(batch * k * n, 2);
      expectProduct(product(a, b, sizes), a, b, sizes);
    };
    const expectProduct = (
      c: Float32Array,
      a: Float32Array,
      b: Float32Array,
      { batch = 1, m, n, k, transA, transB }: Sizes,
      added: (g: number, i: number, j: number) => number = () => 0,
    ) => {
      for (let g = 0; g < batch; g++)
        for (let i = 0; i < m; i++)
          for (let j = 0; j < n; j++) {
            let sum = added(g, i, j);
            for (let p = 0; p < k; p++)
              sum += a[g * m * k + (transA ? p * m + i : i * k + p)] * b[g * k * n + (transB ? j * k + p : p * n + j)];
            // Terms up to 1; partial sums grow as sqrt(k), the walk of k roundings of 2^-24 with them.
            const bound = 1e-7 * k + 1e-6;
            const error = Math.abs(c[(g * m + i) * n + j] - sum);
            if (!(error <= bound)) expect.fail(`row ${i}, column ${j}: off by ${error}, allowed ${bound}`);
          }
    };

    // Every height and width of the register tile, and one more of each.
    it('all small shapes', () => {
      for (let m = 1; m <= 17; m++) for (const n of [1, 2, 4, 7, 8, 9, 16, 17, 31, 32, 33]) check({ m, n, k: 5 });
    });
    const ways: Sizes[] = [
      { m: 65, n: 130, k: 330 }, // strips
      { m: 66, n: 50, k: 3100 }, // parts of k
      { m: 250, n: 525, k: 90 }, // tiles
      { m: 130, n: 260, k: 1103 }, // tiles in two blocks of k, where a block is long; more elsewhere
      { m: 800, n: 96, k: 165 }, // several blocks of rows, whole panels of columns: each block asks for the next
      { m: 90, n: 140, k: 1024 }, // rows of A that fall on the same lines of the cache
      { m: 1, n: 300, k: 70 }, // one row
      { m: 7, n: 300, k: 70 }, // few rows
      { m: 300, n: 1, k: 70 }, // one column
      { batch: 9, m: 12, n: 20, k: 33 }, // many small ones
    ];
    const forms = [{}, { transA: true }, { transB: true }, { transA: true, transB: true }];
    for (const form of forms)
      it(`each way of cutting the work ${JSON.stringify(form)}`, () => {
        for (const sizes of ways) check({ ...sizes, ...form });
      });
    for (const form of forms)
      it(`in bfloat16, with inputs that are so already, each way of cutting ${JSON.stringify(form)}`, () => {
        native.bfloat16(true);
        try {
          for (const sizes of ways) check({ ...sizes, ...form }, coarse);
        } finally {
          native.bfloat16(false);
        }
      });
    it('in bfloat16, all small shapes, of even and odd depth', () => {
      native.bfloat16(true);
      try {
        for (let m = 1; m <= 33; m += m < 18 ? 1 : 5)
          for (const n of [1, 7, 16, 17, 31, 32, 33]) for (const k of [1, 2, 5, 32, 33]) check({ m, n, k }, coarse);
      } finally {
        native.bfloat16(false);
      }
    });
    it('in bfloat16, the same bits as the product of rounded inputs', () => {
      for (const sizes of [...ways, { m: 5, n: 40, k: 37 }]) {
        const { batch = 1, m, n, k } = sizes as Sizes;
        const a = floats(batch * m * k, 3);
        const b = floats(batch * k * n, 4);
        native.bfloat16(true);
        const rounded = product(a, b, sizes);
        const again = product(a.map(roundBf16), b.map(roundBf16), sizes);
        native.bfloat16(false);
        expect(rounded).toEqual(again);
      }
    });

    it('adds a row, a matrix, or what the output held', () => {
      for (const sizes of [...ways, { m: 5, n: 40, k: 37 }, { m: 1, n: 1, k: 3 }] as Sizes[]) {
        const { batch = 1, m, n, k } = sizes;
        const a = floats(batch * m * k, 1);
        const b = floats(batch * k * n, 2);
        const numbers = [batch, m, n, k, 0, 0, m * k, k * n];
        const row = floats(n, 3);
        const c = new Float32Array(batch * m * n).fill(Number.NaN);
        native.raw('MatMul', [a, b, row], [c], [...numbers, 0], []);
        expectProduct(c, a, b, sizes, (_, __, j) => row[j]);
        const matrix = floats(batch * m * n, 4);
        c.fill(Number.NaN);
        native.raw('MatMul', [a, b, matrix], [c], [...numbers, 1], []);
        expectProduct(c, a, b, sizes, (g, i, j) => matrix[(g * m + i) * n + j]);
        c.set(matrix);
        native.raw('MatMul', [a, b, c], [c], [...numbers, 1], []);
        expectProduct(c, a, b, sizes, (g, i, j) => matrix[(g * m + i) * n + j]);
      }
    });

    it('gives the same bits for any number of threads', () => {
      const some: Sizes[] = [
        { m: 300, n: 130, k: 330 },
        { m: 66, n: 80, k: 3100 },
        { m: 700, n: 525, k: 90 },
        { m: 700, n: 525, k: 90, transA: true },
        { m: 130, n: 260, k: 1103, transA: true, transB: true },
        { m: 15, n: 140, k: 530 },
        { m: 4, n: 1000, k: 200 },
      ];
      for (const [sizes, rounds] of some.flatMap((one) => [false, true].map((rounds) => [one, rounds] as const))) {
        native.bfloat16(rounds);
        const a = Float32Array.from(draw(sizes.m * sizes.k, 1));
        const b = Float32Array.from(draw(sizes.k * sizes.n, 2));
        native.threads(1);
        const one = product(a, b, sizes);
        for (const threads of [2, 3, 5]) {
          native.threads(threads);
          expect(product(a, b, sizes)).toEqual(one);
        }
      }
      native.bfloat16(false);
      native.threads(2);
    });

    it('keeps NaN and infinity in their own row and column', () => {
      const [m, n, k] = [15, 33, 20];
      const a = new Float32Array(m * k).fill(1);
      const b = new Float32Array(k * n).fill(1);
      a[3 * k + 7] = Number.NaN;
      a[5 * k] = Number.POSITIVE_INFINITY;
      const c = product(a, b, { m, n, k });
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++)
          expect(c[i * n + j]).toBe(i === 3 ? Number.NaN : i === 5 ? Number.POSITIVE_INFINITY : k);
    });

    it('rounds its inputs to bfloat16 when asked, to nearest even, and only then', () => {
      const [m, n, k] = [2, 3, 1];
      const a = Float32Array.of(1 + 2 ** -9, 1 + 3 * 2 ** -8);
      const b = Float32Array.of(1, 256, 2 ** -100);
      const plain = product(a, b, { m, n, k });
      native.bfloat16(true);
      const rounded = product(a, b, { m, n, k });
      native.bfloat16(false);
      expect([...plain]).toEqual([...a].flatMap((x) => [...b].map((y) => Math.fround(x * y))));
      // 1 + 2^-9 goes down to 1; 1 + 3·2^-8 lies halfway and goes to the even 1 + 2^-6.
      expect([...rounded]).toEqual([1, 1 + 2 ** -6].flatMap((x) => [...b].map((y) => x * y)));
    });
  });
