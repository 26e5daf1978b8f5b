// Attention of one token over a cache as float64 loops, and the write into the cache.
import { type Plain, sizeOf } from '../core/kernel';

export const plain: Record<string, Plain> = {
  AttentionDecode(inputs, shapes, attrs) {
    const [B, H, a] = shapes.q;
    const [, G, Ck, width] = shapes.k;
    const [, Gv, Cv, e] = shapes.v;
    const r = shapes.qs?.[2] ?? 0;
    const Cs = shapes.ks?.[1] ?? 0;
    const n = inputs.length ? inputs.length[0] : Cv;
    const o = new Float64Array(B * H * e);
    for (let b = 0; b < B; b++)
      for (let h = 0; h < H; h++) {
        const key = (b * G + Math.floor((h * G) / H)) * Ck;
        const value = (b * Gv + Math.floor((h * Gv) / H)) * Cv;
        const z = Float64Array.from({ length: n }, (_, s) => {
          let sum = 0;
          for (let c = 0; c < a; c++) sum += inputs.q[(b * H + h) * a + c] * inputs.k[(key + s) * width + c];
          for (let c = 0; c < r; c++) sum += inputs.qs[(b * H + h) * r + c] * inputs.ks[(b * Cs + s) * r + c];
          const cap = Number(attrs.softCap ?? 0);
          const score = Number(attrs.scale) * sum;
          const capped = cap > 0 ? cap * Math.tanh(score / cap) : score;
          return capped - (inputs.slopes?.[h] ?? 0) * (n - 1 - s);
        });
        const sink = inputs.sinks?.[h] ?? Number.NEGATIVE_INFINITY;
        const most = z.reduce((x, y) => Math.max(x, y), sink);
        const weights = z.map((u) => Math.exp(u - most));
        const total = weights.reduce((x, y) => x + y, Math.exp(sink - most));
        for (let s = 0; s < n; s++)
          for (let c = 0; c < e; c++) o[(b * H + h) * e + c] += (weights[s] / total) * inputs.v[(value + s) * e + c];
      }
    return { o };
  },
  CacheAppend(inputs, shapes) {
    const [n, width] = shapes.cache.slice(-2);
    const cache = inputs.cache.slice();
    for (let i = 0; i < sizeOf(shapes.cache) / n / width; i++)
      cache.set(inputs.row.subarray(i * width, (i + 1) * width), (i * n + inputs.at[0]) * width);
    return { cache };
  },
};
