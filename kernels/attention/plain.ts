// Softmax attention as float64 loops.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';

/** u [B, T, H, d] turned by the tables: row t + first for token t; `sign` -1 turns back. */
function turn(u: Float64Array, shape: readonly number[], tables: Arrays, first: number, sign: number): Float64Array {
  const [B, T, H, d] = shape;
  const out = u.slice();
  if (!tables.cos) return out;
  const half = d / 2;
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++)
      for (let h = 0; h < H; h++)
        for (let i = 0; i < half; i++) {
          const c = tables.cos[(t + first) * half + i];
          const s = sign * tables.sin[(t + first) * half + i];
          const at = ((b * T + t) * H + h) * d + i;
          out[at] = u[at] * c - u[at + half] * s;
          out[at + half] = u[at + half] * c + u[at] * s;
        }
  return out;
}

/** Calls `each` for every query row with its first indices in q, o and the weights of the keys it sees. */
function eachRow(
  inputs: Arrays,
  shapes: Shapes,
  attrs: Attrs,
  each: (row: {
    q: number;
    o: number;
    lseAt: number;
    lse: number;
    a: Float64Array;
    k: (s: number) => number;
    v: (s: number) => number;
  }) => void,
): void {
  const [B, T, H, d] = shapes.q;
  const [, S, Hk] = shapes.k;
  const e = shapes.v[3];
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let t = 0; t < T; t++) {
        const g = Math.floor((h * Hk) / H);
        const k = (s: number) => ((b * S + s) * Hk + g) * d;
        const v = (s: number) => ((b * S + s) * Hk + g) * e;
        const q = ((b * T + t) * H + h) * d;
        const seen = attrs.causal === true ? t + S - T + 1 : S;
        const z = new Float64Array(seen);
        for (let s = 0; s < seen; s++)
          for (let c = 0; c < d; c++) z[s] += Number(attrs.scale) * inputs.q[q + c] * inputs.k[k(s) + c];
        const most = Math.max(...z);
        const lse = most + Math.log(z.reduce((sum, u) => sum + Math.exp(u - most), 0));
        each({
          q,
          o: ((b * T + t) * H + h) * e,
          lseAt: (b * H + h) * T + t,
          lse,
          a: z.map((u) => Math.exp(u - lse)),
          k,
          v,
        });
      }
}

const turned = (inputs: Arrays, shapes: Shapes): Arrays => ({
  ...inputs,
  q: turn(inputs.q, shapes.q, inputs, shapes.k[1] - shapes.q[1], 1),
  k: turn(inputs.k, shapes.k, inputs, 0, 1),
});

export const plain: Record<string, Plain> = {
  Attention(inputs, shapes, attrs) {
    const [B, T, H] = shapes.q;
    const e = shapes.v[3];
    const o = new Float64Array(B * T * H * e);
    const lse = new Float64Array(B * H * T);
    eachRow(turned(inputs, shapes), shapes, attrs, (row) => {
      lse[row.lseAt] = row.lse;
      row.a.forEach((a, s) => {
        for (let c = 0; c < e; c++) o[row.o + c] += a * inputs.v[row.v(s) + c];
      });
    });
    return { o, lse };
  },
  AttentionGrad(inputs, shapes, attrs) {
    const d = shapes.q[3];
    const e = shapes.v[3];
    const scale = Number(attrs.scale);
    const { q, k, v } = turned(inputs, shapes);
    const dq = new Float64Array(q.length);
    const dk = new Float64Array(k.length);
    const dv = new Float64Array(v.length);
    eachRow({ q, k, v }, shapes, attrs, (row) => {
      const da = row.a.map((_, s) => {
        let sum = 0;
        for (let c = 0; c < e; c++) sum += inputs.do[row.o + c] * v[row.v(s) + c];
        return sum;
      });
      const mean = row.a.reduce((sum, a, s) => sum + a * da[s], 0);
      row.a.forEach((a, s) => {
        const dz = a * (da[s] - mean) * scale;
        for (let c = 0; c < e; c++) dv[row.v(s) + c] += a * inputs.do[row.o + c];
        for (let c = 0; c < d; c++) {
          dq[row.q + c] += dz * k[row.k(s) + c];
          dk[row.k(s) + c] += dz * q[row.q + c];
        }
      });
    });
    return {
      dq: turn(dq, shapes.q, inputs, shapes.k[1] - shapes.q[1], -1),
      dk: turn(dk, shapes.k, inputs, 0, -1),
      dv,
    };
  },
};
