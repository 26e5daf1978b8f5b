// The generalised delta rule as float64 loops, token by token, and its adjoint.
import type { Arrays, Plain, Shapes } from '../core/kernel';

/** Runs the rule; `each` sees S before and after each token ([N, N] by value and key channel) and what was read along a, S a [N]. */
function run(
  { w_log, k, v, a, b }: Arrays,
  { r: [batch, H, T, N] }: Shapes,
  each: (at: { row: number; t: number; before: Float64Array; after: Float64Array; taken: Float64Array }) => void,
) {
  for (let row = 0; row < batch * H; row++) {
    let before = new Float64Array(N * N);
    for (let t = 0; t < T; t++) {
      const at = (row * T + t) * N;
      const after = new Float64Array(N * N);
      const taken = new Float64Array(N);
      for (let i = 0; i < N; i++) {
        for (let j = 0; j < N; j++) taken[i] += before[i * N + j] * a[at + j];
        for (let j = 0; j < N; j++)
          after[i * N + j] = before[i * N + j] * Math.exp(w_log[at + j]) + taken[i] * b[at + j] + v[at + i] * k[at + j];
      }
      each({ row, t, before, after, taken });
      before = after;
    }
  }
}

const forward: Plain = (inputs, shapes) => {
  const [batch, H, T, N] = shapes.r;
  const segments = Math.ceil(T / 16);
  const y = new Float64Array(inputs.r.length);
  const states = new Float64Array(batch * H * segments * N * N);
  run(inputs, shapes, ({ row, t, before, after }) => {
    const at = (row * T + t) * N;
    for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) y[at + i] += after[i * N + j] * inputs.r[at + j];
    if (t % 16 === 0) states.set(before, (row * segments + t / 16) * N * N);
  });
  return { y, states };
};

const gradient: Plain = (inputs, shapes) => {
  const { r, w_log, k, v, a, b, dy } = inputs;
  const [batch, H, T, N] = shapes.r;
  const [dr, dw, dk, dv, da, db] = Array.from({ length: 6 }, () => new Float64Array(r.length));
  const seen: { before: Float64Array; after: Float64Array; taken: Float64Array }[] = [];
  run(inputs, shapes, (at) => seen.push(at));
  for (let row = 0; row < batch * H; row++) {
    let dS = new Float64Array(N * N);
    for (let t = T - 1; t >= 0; t--) {
      const at = (row * T + t) * N;
      const { before, after, taken } = seen[row * T + t];
      const next = new Float64Array(N * N);
      for (let i = 0; i < N; i++) {
        let pull = 0;
        for (let j = 0; j < N; j++) {
          dr[at + j] += after[i * N + j] * dy[at + i];
          dS[i * N + j] += dy[at + i] * r[at + j];
          dv[at + i] += dS[i * N + j] * k[at + j];
          dk[at + j] += dS[i * N + j] * v[at + i];
          db[at + j] += dS[i * N + j] * taken[i];
          pull += dS[i * N + j] * b[at + j];
          dw[at + j] += dS[i * N + j] * before[i * N + j] * Math.exp(w_log[at + j]);
        }
        for (let j = 0; j < N; j++) {
          da[at + j] += pull * before[i * N + j];
          next[i * N + j] = dS[i * N + j] * Math.exp(w_log[at + j]) + pull * a[at + j];
        }
      }
      dS = next;
    }
  }
  return { dr, dw_log: dw, dk, dv, da, db };
};

export const plain: Record<string, Plain> = { Wkv7: forward, Wkv7Grad: gradient };
