// Products of matrices as float64 loops.
import type { Plain } from '../core/kernel';
import { activations, product } from './kernel';

const ACTIVATE: Record<(typeof activations)[number], (u: number) => number> = {
  linear: (u) => u,
  relu: (u) => Math.max(0, u),
  relu6: (u) => Math.min(6, Math.max(0, u)),
  elu: (u) => (u >= 0 ? u : Math.expm1(u)),
  sigmoid: (u) => 1 / (1 + Math.exp(-u)),
};

export const plain: Record<string, Plain> = {
  MatMulBatch({ a, b, bias }, shapes, attrs) {
    const [batch, m, n, k, matrixA, rowA, innerA, matrixB, innerB, columnB, activation] = product.ints(shapes, attrs);
    const activate = ACTIVATE[activations[activation]];
    const out = new Float64Array(batch * m * n);
    for (let g = 0; g < batch; g++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = bias ? bias[j] : 0;
          for (let p = 0; p < k; p++)
            sum += a[g * matrixA + i * rowA + p * innerA] * b[g * matrixB + p * innerB + j * columnB];
          out[(g * m + i) * n + j] = activate(sum);
        }
    return { product: out };
  },
};
