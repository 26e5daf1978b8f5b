// Gated linear attention as float64 loops, token by token, and its adjoint.
import type { Arrays, Plain, Shapes } from '../core/kernel';

function layout({ q, v }: Shapes) {
  const [batch, T, H, d] = q;
  const [, , Hk, e] = v;
  const heads = Array.from({ length: H }, (_, h) => h);
  return {
    batch,
    T,
    Hk,
    d,
    e,
    segments: Math.ceil(T / 16),
    /** Query heads that read key head hk. */
    readers: (hk: number) => heads.filter((h) => Math.floor((h * Hk) / H) === hk),
    query: (b: number, t: number, h: number) => (b * T + t) * H + h,
    key: (b: number, t: number, hk: number) => (b * T + t) * Hk + hk,
  };
}

/** Runs the recurrence; `each` sees S [d, e] before and after each token. */
function run(
  { k, v, g }: Arrays,
  shapes: Shapes,
  each: (at: { b: number; t: number; hk: number; before: Float64Array; after: Float64Array }) => void,
) {
  const { batch, T, Hk, d, e, key } = layout(shapes);
  for (let b = 0; b < batch; b++)
    for (let hk = 0; hk < Hk; hk++) {
      let before = new Float64Array(d * e);
      for (let t = 0; t < T; t++) {
        const at = key(b, t, hk);
        const after = before.map((value, i) => {
          const [c, o] = [at * d + Math.floor(i / e), at * e + (i % e)];
          return Math.exp(g[c]) * value + k[c] * v[o];
        });
        each({ b, t, hk, before, after });
        before = after;
      }
    }
}

const forward: Plain = (inputs, shapes) => {
  const { batch, T, Hk, d, e, segments, readers, query } = layout(shapes);
  const o = new Float64Array(batch * T * shapes.q[2] * e);
  const states = new Float64Array(batch * Hk * segments * e * d);
  run(inputs, shapes, ({ b, t, hk, before, after }) => {
    for (const h of readers(hk)) {
      const at = query(b, t, h);
      for (let c = 0; c < d; c++) for (let i = 0; i < e; i++) o[at * e + i] += inputs.q[at * d + c] * after[c * e + i];
    }
    if (t % 16 === 0)
      for (let c = 0; c < d; c++)
        for (let i = 0; i < e; i++) states[(((b * Hk + hk) * segments + t / 16) * e + i) * d + c] = before[c * e + i];
  });
  return { o, states };
};

const gradient: Plain = (inputs, shapes) => {
  const { q, k, v, g } = inputs;
  const { batch, T, Hk, d, e, readers, query, key } = layout(shapes);
  const [dq, dk, dv, dg] = [q, k, v, g].map((u) => new Float64Array(u.length));
  const seen: { before: Float64Array; after: Float64Array }[] = [];
  run(inputs, shapes, (at) => seen.push(at));
  for (let b = 0; b < batch; b++)
    for (let hk = 0; hk < Hk; hk++) {
      const dS = new Float64Array(d * e);
      for (let t = T - 1; t >= 0; t--) {
        const at = key(b, t, hk);
        const { before, after } = seen[(b * Hk + hk) * T + t];
        for (let c = 0; c < d; c++) {
          const keep = Math.exp(g[at * d + c]);
          for (let i = 0; i < e; i++) {
            const s = c * e + i;
            for (const h of readers(hk)) {
              const from = query(b, t, h);
              dq[from * d + c] += after[s] * inputs.do[from * e + i];
              dS[s] += q[from * d + c] * inputs.do[from * e + i];
            }
            dk[at * d + c] += dS[s] * v[at * e + i];
            dv[at * e + i] += dS[s] * k[at * d + c];
            dS[s] *= keep;
            dg[at * d + c] += dS[s] * before[s];
          }
        }
      }
    }
  return { dq, dk, dv, dg };
};

export const plain: Record<string, Plain> = { GatedLinearScan: forward, GatedLinearScanGrad: gradient };
