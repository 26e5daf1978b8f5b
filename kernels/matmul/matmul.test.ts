// Matrix products on every instruction set: against float64 sums, with NaN-filled outputs and scratch; rounding to bfloat16; NaN and infinity stay in their row.
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

for (const native of natives())
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
    const check = (sizes: Sizes) => {
      const { batch = 1, m, n, k, transA, transB } = sizes;
      const a = Float32Array.from(draw(batch * m * k, 1));
      const b = Float32Array.from(draw(batch * k * n, 2));
      const c = product(a, b, sizes);
      for (let g = 0; g < batch; g++)
        for (let i = 0; i < m; i++)
          for (let j = 0; j < n; j++) {
            let sum = 0;
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
    const forms = [{}, { transA: true }, { transB: true }, { transA: true, transB: true }];
    for (const form of forms)
      it(`each way of cutting the work ${JSON.stringify(form)}`, () => {
        check({ m: 65, n: 130, k: 330, ...form }); // strips
        check({ m: 66, n: 50, k: 3100, ...form }); // parts of k
        check({ m: 250, n: 525, k: 90, ...form }); // tiles
        check({ m: 1, n: 300, k: 70, ...form }); // one row
        check({ m: 300, n: 1, k: 70, ...form }); // one column
        check({ batch: 9, m: 12, n: 20, k: 33, ...form }); // many small ones
      });

    it('gives the same bits for any number of threads', () => {
      for (const sizes of [
        { m: 300, n: 130, k: 330 },
        { m: 66, n: 80, k: 3100 },
        { m: 700, n: 525, k: 90 },
      ]) {
        const a = Float32Array.from(draw(sizes.m * sizes.k, 1));
        const b = Float32Array.from(draw(sizes.k * sizes.n, 2));
        native.threads(1);
        const one = product(a, b, sizes);
        for (const threads of [2, 3, 5]) {
          native.threads(threads);
          expect(product(a, b, sizes)).toEqual(one);
        }
      }
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
