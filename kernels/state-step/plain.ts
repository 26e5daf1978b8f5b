// One token of a linear recurrence as float64 loops.
import type { Plain } from '../core/kernel';

export const plain: Record<string, Plain> = {
  OuterStep({ s, q, k, v, keep }, shapes) {
    const [B, G, d, e] = shapes.s;
    const [, H] = shapes.q;
    const next = s.slice();
    const y = new Float64Array(B * H * e);
    for (let r = 0; r < B * G; r++)
      for (let i = 0; i < d; i++) {
        const kept = keep ? keep[keep.length === B * G ? r : r * d + i] : 1;
        for (let j = 0; j < e; j++) {
          const at = (r * d + i) * e + j;
          next[at] = kept * s[at] + k[r * d + i] * v[r * e + j];
          for (let h = (r * H) / G; h < ((r + 1) * H) / G; h++) y[h * e + j] += q[h * d + i] * next[at];
        }
      }
    return { s: next, y };
  },
  SsdStep({ s, x, dt, A, B, C, D }, shapes) {
    const [b, H, P, N] = shapes.s;
    const [, G] = shapes.B;
    const next = s.slice();
    const y = new Float64Array(b * H * P);
    for (let r = 0; r < b * H; r++) {
      const group = (Math.floor(r / H) * G + Math.floor(((r % H) * G) / H)) * N;
      const keep = Math.exp(dt[r] * A[r % H]);
      for (let p = 0; p < P; p++) {
        y[r * P + p] = D ? D[r % H] * x[r * P + p] : 0;
        for (let n = 0; n < N; n++) {
          const at = (r * P + p) * N + n;
          next[at] = keep * s[at] + dt[r] * x[r * P + p] * B[group + n];
          y[r * P + p] += next[at] * C[group + n];
        }
      }
    }
    return { s: next, y };
  },
};
