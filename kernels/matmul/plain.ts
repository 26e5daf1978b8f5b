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

const bits = new Uint32Array(1);
const number = new Float32Array(bits.buffer);
/** To the nearest bfloat16, of two to the even one. */
function coarse(u: number): number {
  number[0] = u;
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return number[0];
}

export const plain: Record<string, Plain> = {
  MatMulBatch({ a: left, b: right, bias }, shapes, attrs) {
    const [a, b] = attrs.rounded === true ? [left.map(coarse), right.map(coarse)] : [left, right];
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
