// The weighted mean of RWKV-4 as float64 loops: every pair of tokens by itself, and the derivative of that.
import type { Plain } from '../core/kernel';

const NOTHING = -1e38;

/** Weights of the tokens j <= t in y[t], which sum to 1. Key of token j: k[at(j)]. */
function weights(k: Float64Array, at: (j: number) => number, t: number, w: number, u: number): number[] {
  const logs = Array.from({ length: t + 1 }, (_, j) => k[at(j)] + (j === t ? u : (t - 1 - j) * w));
  const most = Math.max(...logs);
  const raw = logs.map((log) => Math.exp(log - most));
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((weight) => weight / sum);
}

const forward: Plain = ({ k, v, w, u }, shapes) => {
  const [batch, T, C] = shapes.k;
  const y = new Float64Array(k.length);
  const segments = Math.ceil(T / 64);
  const sums = new Float64Array(batch * segments * 3 * C);
  for (let b = 0; b < batch; b++)
    for (let c = 0; c < C; c++) {
      const at = (t: number) => (b * T + t) * C + c;
      for (let t = 0; t < T; t++)
        y[at(t)] = weights(k, at, t, w[c], u[c]).reduce((sum, weight, j) => sum + weight * v[at(j)], 0);
      let [p, q, o] = [0, 0, NOTHING];
      for (let t = 0; t < T; t++) {
        if (t % 64 === 0)
          for (const [which, value] of [q > 0 ? p / q : 0, q, o].entries())
            sums[((b * segments + t / 64) * 3 + which) * C + c] = value;
        const s = Math.max(o + w[c], k[at(t)]);
        const [kept, own] = [Math.exp(o + w[c] - s), Math.exp(k[at(t)] - s)];
        [p, q, o] = [kept * p + own * v[at(t)], kept * q + own, s];
      }
    }
  return { y, sums };
};

const gradient: Plain = ({ k, v, w, u, dy }, shapes) => {
  const [batch, T, C] = shapes.k;
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(k.length);
  const dw = new Float64Array(C);
  const du = new Float64Array(C);
  for (let b = 0; b < batch; b++)
    for (let c = 0; c < C; c++) {
      const at = (t: number) => (b * T + t) * C + c;
      for (let t = 0; t < T; t++) {
        const share = weights(k, at, t, w[c], u[c]);
        const y = share.reduce((sum, weight, j) => sum + weight * v[at(j)], 0);
        share.forEach((weight, j) => {
          const slope = dy[at(t)] * weight * (v[at(j)] - y);
          dv[at(j)] += dy[at(t)] * weight;
          dk[at(j)] += slope;
          if (j === t) du[c] += slope;
          else dw[c] += (t - 1 - j) * slope;
        });
      }
    }
  return { dk, dv, dw, du };
};

export const plain: Record<string, Plain> = { Wkv4: forward, Wkv4Grad: gradient };
