// Depthwise causal convolution as float64 loops.
import type { Arrays, Plain, Shapes } from '../core/kernel';

const sigmoid = (u: number): number => 1 / (1 + Math.exp(-u));

/** Before the activation. */
function convolve({ x, weight, bias }: Arrays, shapes: Shapes, ahead: number): Float64Array {
  const [B, T, C] = shapes.x;
  const K = shapes.weight[0];
  const u = new Float64Array(x.length);
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++)
      for (let c = 0; c < C; c++) {
        let sum = bias ? bias[c] : 0;
        for (let k = 0; k < K; k++) {
          const from = t + k - (K - 1) + ahead;
          if (from >= 0 && from < T) sum += weight[k * C + c] * x[(b * T + from) * C + c];
        }
        u[(b * T + t) * C + c] = sum;
      }
  return u;
}

export const plain: Record<string, Plain> = {
  CausalConv(inputs, shapes, attrs) {
    const u = convolve(inputs, shapes, Number(attrs.ahead ?? 0));
    return { y: attrs.activation === 'silu' ? u.map((s) => s * sigmoid(s)) : u };
  },
  CausalConvGrad(inputs, shapes, attrs) {
    const { x, weight, dy } = inputs;
    const [B, T, C] = shapes.x;
    const K = shapes.weight[0];
    const slope = (s: number) => (attrs.activation === 'silu' ? sigmoid(s) * (1 + s * (1 - sigmoid(s))) : 1);
    const du = convolve(inputs, shapes, Number(attrs.ahead ?? 0)).map((s, i) => dy[i] * slope(s));
    const dx = new Float64Array(x.length);
    const dweight = new Float64Array(weight.length);
    const dbias = new Float64Array(C);
    for (let b = 0; b < B; b++)
      for (let t = 0; t < T; t++)
        for (let c = 0; c < C; c++) {
          const g = du[(b * T + t) * C + c];
          dbias[c] += g;
          for (let k = 0; k < K; k++) {
            const from = t + k - (K - 1) + Number(attrs.ahead ?? 0);
            if (from < 0 || from >= T) continue;
            dx[(b * T + from) * C + c] += g * weight[k * C + c];
            dweight[k * C + c] += g * x[(b * T + from) * C + c];
          }
        }
    return { dx, dweight, dbias };
  },
};
