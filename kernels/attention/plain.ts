// Softmax attention as float64 loops; the latent and the differential kind as what they are short for.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';

/** u [B, T, H, d], the last channels turned by the tables [.., r/2]: row t + first for token t; `sign` -1 turns back. */
function turn(u: Float64Array, shape: readonly number[], tables: Arrays, shapes: Shapes, first: number, sign: number) {
  const [B, T, H, d] = shape;
  const out = u.slice();
  if (!tables.cos) return out;
  const half = shapes.cos[1];
  for (let row = 0; row < B * T * H; row++)
    for (let i = 0; i < half; i++) {
      const place = (Math.floor(row / H) % T) + first;
      const c = tables.cos[place * half + i];
      const s = sign * tables.sin[place * half + i];
      const at = row * d + d - 2 * half + i;
      out[at] = u[at] * c - u[at + half] * s;
      out[at + half] = u[at + half] * c + u[at] * s;
    }
  return out;
}

/** ALiBi's slope of head h of H. */
function slopeOf(h: number, H: number): number {
  const n = 2 ** Math.floor(Math.log2(H));
  return h < n ? 2 ** ((-8 * (h + 1)) / n) : 2 ** ((-4 * (2 * (h - n) + 1)) / n);
}

/** A query row: where it lies in q, o and lse, its head, its keys with their shares and the slopes of their exponents. */
interface Row {
  q: number;
  o: number;
  line: number;
  h: number;
  lse: number;
  keys: { a: number; bend: number; k: number; v: number }[];
}

/** Calls `each` for every query row, with q and k turned. */
function eachRow(inputs: Arrays, shapes: Shapes, attrs: Attrs, each: (row: Row) => void): void {
  const [B, T, H, d] = shapes.q;
  const [, S, Hk] = shapes.k;
  const e = shapes.v[3];
  const { scale, causal, strict, window = 0, softCap = 0, alibi } = attrs as Record<string, number>;
  const sees = (p: number, s: number) => {
    const late = Number(strict ?? 0);
    if (causal && s > p - late) return false;
    return !window || (s > p - late - window && s < p + window);
  };
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let t = 0; t < T; t++) {
        const g = Math.floor((h * Hk) / H);
        const q = ((b * T + t) * H + h) * d;
        const place = t + S - T;
        const keys = [];
        for (let s = 0; s < S; s++) {
          if (!sees(place, s)) continue;
          const k = ((b * S + s) * Hk + g) * d;
          let z = 0;
          for (let c = 0; c < d; c++) z += scale * inputs.q[q + c] * inputs.k[k + c];
          const bend = softCap ? 1 - Math.tanh(z / softCap) ** 2 : 1;
          if (softCap) z = softCap * Math.tanh(z / softCap);
          if (alibi) z -= slopeOf(h, H) * Math.abs(place - s);
          keys.push({ a: z, bend, k, v: ((b * S + s) * Hk + g) * e });
        }
        const sink = inputs.sinks?.[h] ?? Number.NEGATIVE_INFINITY;
        const most = keys.reduce((m, { a }) => Math.max(m, a), sink);
        const sum = keys.reduce((s, { a }) => s + Math.exp(a - most), Math.exp(sink - most));
        const lse = sum > 0 ? most + Math.log(sum) : 0;
        for (const key of keys) key.a = Math.exp(key.a - lse);
        each({ q, o: ((b * T + t) * H + h) * e, line: (b * H + h) * T + t, h, lse, keys });
      }
}

const turned = (inputs: Arrays, shapes: Shapes): Arrays => ({
  ...inputs,
  q: turn(inputs.q, shapes.q, inputs, shapes, shapes.k[1] - shapes.q[1], 1),
  k: turn(inputs.k, shapes.k, inputs, shapes, 0, 1),
});

const attend: Plain = (inputs, shapes, attrs) => {
  const [B, T, H] = shapes.q;
  const e = shapes.v[3];
  const o = new Float64Array(B * T * H * e);
  const lse = new Float64Array(B * H * T);
  eachRow(turned(inputs, shapes), shapes, attrs, (row) => {
    lse[row.line] = row.lse / Math.LN2;
    for (const { a, v } of row.keys) for (let c = 0; c < e; c++) o[row.o + c] += a * inputs.v[v + c];
  });
  return { o, lse };
};

const attendGrad: Plain = (inputs, shapes, attrs) => {
  const d = shapes.q[3];
  const e = shapes.v[3];
  const scale = Number(attrs.scale);
  const { q, k, v, sinks } = turned(inputs, shapes);
  const [dq, dk, dv] = [q, k, v].map((u) => new Float64Array(u.length));
  const dsinks = new Float64Array(shapes.q[2]);
  eachRow({ q, k, v, sinks }, shapes, attrs, (row) => {
    const da = row.keys.map((key) => {
      let sum = 0;
      for (let c = 0; c < e; c++) sum += inputs.do[row.o + c] * v[key.v + c];
      return sum;
    });
    const mean = row.keys.reduce((sum, { a }, i) => sum + a * da[i], 0);
    if (sinks) dsinks[row.h] -= Math.exp(sinks[row.h] - row.lse) * mean;
    row.keys.forEach(({ a, bend, ...at }, i) => {
      const dz = a * (da[i] - mean) * bend * scale;
      for (let c = 0; c < e; c++) dv[at.v + c] += a * inputs.do[row.o + c];
      for (let c = 0; c < d; c++) {
        dq[row.q + c] += dz * k[at.k + c];
        dk[at.k + c] += dz * q[row.q + c];
      }
    });
  });
  return {
    dq: turn(dq, shapes.q, inputs, shapes, shapes.k[1] - shapes.q[1], -1),
    dk: turn(dk, shapes.k, inputs, shapes, 0, -1),
    dv,
    dsinks,
  };
};

/** Channels from `from` of rows of `width`, laid down `times` times each. */
const channels = (u: Float64Array, width: number, from: number, count: number, times = 1) =>
  Float64Array.from(
    { length: (u.length / width) * count * times },
    (_, i) => u[Math.floor(i / (count * times)) * width + from + (i % count)],
  );

/** What latent attention is short for: keys with the shared part in every head. */
function spread(inputs: Arrays, shapes: Shapes, attrs: Attrs): { inputs: Arrays; shapes: Shapes } {
  const [B, S, Hk, width] = shapes.kv;
  const [own, valueAt] = [Number(attrs.own), Number(attrs.valueAt)];
  const [r, d, e] = [shapes.shared[2], shapes.q[3], width - valueAt];
  const kept = channels(inputs.kv, width, 0, own);
  const shared = channels(inputs.shared, r, 0, r, Hk);
  const k = Float64Array.from({ length: B * S * Hk * d }, (_, i) => {
    const [row, c] = [Math.floor(i / d), i % d];
    return c < own ? kept[row * own + c] : shared[row * r + c - own];
  });
  const v = channels(inputs.kv, width, valueAt, e);
  return { inputs: { ...inputs, k, v }, shapes: { ...shapes, k: [B, S, Hk, d], v: [B, S, Hk, e] } };
}

const latentGrad: Plain = (inputs, shapes, attrs) => {
  const [own, valueAt] = [Number(attrs.own), Number(attrs.valueAt)];
  const long = spread(inputs, shapes, attrs);
  const { dq, dk, dv } = attendGrad(long.inputs, long.shapes, attrs);
  const [, , Hk, width] = shapes.kv;
  const [r, d, e] = [shapes.shared[2], shapes.q[3], width - valueAt];
  const dkv = new Float64Array(inputs.kv.length);
  const dshared = new Float64Array(inputs.shared.length);
  for (let row = 0; row < inputs.kv.length / width; row++) {
    for (let c = 0; c < own; c++) dkv[row * width + c] += dk[row * d + c];
    for (let c = 0; c < e; c++) dkv[row * width + valueAt + c] += dv[row * e + c];
    for (let c = 0; c < r; c++) dshared[Math.floor(row / Hk) * r + c] += dk[row * d + own + c];
  }
  return { dq, dkv, dshared };
};

/** Queries and keys [B, T, 2 heads, d] of one component. */
const component = (u: Float64Array, d: number, c: number) => channels(u, 2 * d, c * d, d);
function oneMap(inputs: Arrays, shapes: Shapes, c: number): { inputs: Arrays; shapes: Shapes } {
  const { q, k } = shapes;
  const half = ([B, T, heads, d]: readonly number[]) => [B, T, heads / 2, d];
  return {
    inputs: { ...inputs, q: component(inputs.q, q[3], c), k: component(inputs.k, k[3], c) },
    shapes: { ...shapes, q: half(q), k: half(k) },
  };
}

/** Each head's norm of (first - second) + rest · second: its o, the root of the mean square, and y. */
function normOf(first: Float64Array, second: Float64Array, { rest, weight }: Arrays, epsilon: number) {
  const e = weight.length;
  const o = first.map((u, i) => u - second[i] + rest[0] * second[i]);
  const root = o.map((_, i) => {
    const row = Math.floor(i / e) * e;
    return Math.sqrt(o.subarray(row, row + e).reduce((sum, u) => sum + u * u, 0) / e + epsilon);
  });
  return { o, root, y: o.map((u, i) => (weight[i % e] * u) / root[i]) };
}

const differential: Plain = (inputs, shapes, attrs) => {
  const maps = [0, 1].map((c) => {
    const one = oneMap(inputs, shapes, c);
    return attend(one.inputs, one.shapes, attrs);
  });
  const [first, second] = maps.map(({ o }) => o);
  const [B, T, twice] = shapes.q;
  const lse = Float64Array.from({ length: B * twice * T }, (_, i) => {
    const [b, row, t] = [Math.floor(i / T / twice), Math.floor(i / T) % twice, i % T];
    return maps[row % 2].lse[((b * twice) / 2 + Math.floor(row / 2)) * T + t];
  });
  return { y: normOf(first, second, inputs, Number(attrs.epsilon)).y, first, second, lse };
};

const differentialGrad: Plain = (inputs, shapes, attrs) => {
  const { first, second, weight, dy, rest } = inputs;
  const e = weight.length;
  const { o, root } = normOf(first, second, inputs, Number(attrs.epsilon));
  const dweight = new Float64Array(e);
  const slope = dy.map((u, i) => u * weight[i % e]);
  const dO = slope.map((u, i) => {
    dweight[i % e] += (dy[i] * o[i]) / root[i];
    const row = Math.floor(i / e) * e;
    let mean = 0;
    for (let j = row; j < row + e; j++) mean += (slope[j] * o[j]) / e;
    return u / root[i] - (o[i] * mean) / root[i] ** 3;
  });
  const [one, two] = [0, 1].map((c) => {
    const map = oneMap(inputs, shapes, c);
    const cotangent = c === 0 ? dO : dO.map((u) => -(1 - rest[0]) * u);
    return attendGrad({ ...map.inputs, do: cotangent }, map.shapes, attrs);
  });
  const d = shapes.q[3];
  const both = (a: Float64Array, b: Float64Array) =>
    Float64Array.from({ length: 2 * a.length }, (_, i) => {
      const at = Math.floor(i / (2 * d)) * d + (i % d);
      return i % (2 * d) < d ? a[at] : b[at];
    });
  return {
    dq: both(one.dq, two.dq),
    dk: both(one.dk, two.dk),
    dv: one.dv.map((u, i) => u + two.dv[i]),
    drest: Float64Array.of(dO.reduce((sum, u, i) => sum + u * second[i], 0)),
    dweight,
  };
};

export const plain: Record<string, Plain> = {
  Attention: attend,
  AttentionGrad: attendGrad,
  LatentAttention(inputs, shapes, attrs) {
    const long = spread(inputs, shapes, attrs);
    return attend(long.inputs, long.shapes, attrs);
  },
  LatentAttentionGrad: latentGrad,
  DifferentialAttention: differential,
  DifferentialAttentionGrad: differentialGrad,
};
