// RWKV-7's rule with all that stands around it, as float64 loops: see mix.ts.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';
import { plain } from './plain';

const STRONGEST_DECAY = -Math.exp(-0.5);
const sigmoid = (u: number): number => 1 / (1 + Math.exp(-u));

function sizes({ r: [B, T, D] }: Shapes, { heads }: Attrs) {
  const H = Number(heads);
  const N = D / H;
  /** Where [B, T, D] lies in [B, H, T, N]. */
  const turned = (i: number): number => {
    const [j, t, b] = [i % D, Math.floor(i / D) % T, Math.floor(i / D / T)];
    return ((b * H + Math.floor(j / N)) * T + t) * N + (j % N);
  };
  const shape = [B, H, T, N];
  const rule: Shapes = { r: shape, w_log: shape, k: shape, v: shape, a: shape, b: shape };
  return { D, N, size: B * T * D, turned, rule };
}

/** What the rule takes, [B, T, D] each, with what it was made of: rates, what the decays and blends opened, and lengths by head. */
function prepare(x: Arrays, { D, N, size }: ReturnType<typeof sizes>) {
  const like = () => new Float64Array(size);
  const made = { r: x.r, w_log: like(), k: like(), v: like(), a: like(), b: like() };
  const [rate, open, part, length] = [like(), like(), like(), like()];
  for (let head = 0; head < size; head += N) {
    let square = 0;
    for (let i = head; i < head + N; i++) square += (x.key[i] * x.k_k[i % D]) ** 2;
    for (let i = head; i < head + N; i++) {
      const j = i % D;
      length[i] = Math.sqrt(Math.max(square, 1e-24));
      rate[i] = sigmoid(x.rate[i] + x.a0[j]);
      open[i] = sigmoid(x.decay[i] + x.w0[j]);
      part[i] = x.first ? sigmoid(x.share[i] + x.v0[j]) : 0;
      made.w_log[i] = STRONGEST_DECAY * open[i];
      made.k[i] = x.key[i] * (1 + (rate[i] - 1) * x.k_a[j]);
      made.v[i] = x.v[i] + (x.first ? (x.first[i] - x.v[i]) * part[i] : 0);
      made.a[i] = (-x.key[i] * x.k_k[j]) / length[i];
      made.b[i] = -made.a[i] * rate[i];
    }
  }
  return { ...made, rate, open, part, length };
}
type Prepared = ReturnType<typeof prepare>;

const RULE = ['r', 'w_log', 'k', 'v', 'a', 'b'] as const;
const swap = (u: Float64Array, to: (i: number) => number): Float64Array => {
  const result = new Float64Array(u.length);
  for (let i = 0; i < u.length; i++) result[to(i)] = u[i];
  return result;
};
const back = (u: Float64Array, from: (i: number) => number): Float64Array => u.map((_, i) => u[from(i)]);

/** Mean, 1 / deviation and bonus of the head that starts at number `head`. */
function head(
  x: Arrays,
  { r, k }: Prepared,
  o: Float64Array,
  { D, N }: { D: number; N: number },
  at: number,
  epsilon: number,
) {
  const own = o.subarray(at, at + N);
  const mean = own.reduce((sum, u) => sum + u, 0) / N;
  const rstd = 1 / Math.sqrt(own.reduce((sum, u) => sum + (u - mean) ** 2, 0) / N + epsilon);
  let bonus = 0;
  for (let i = at; i < at + N; i++) bonus += r[i] * k[i] * x.r_k[i % D];
  return { mean, rstd, bonus };
}

const forward: Plain = (x, shapes, attrs) => {
  const size = sizes(shapes, attrs);
  const made = prepare(x, size);
  const turned = Object.fromEntries(RULE.map((name) => [name, swap(made[name], size.turned)]));
  const done = plain.Wkv7(turned, size.rule, {});
  const o = back(done.y, size.turned);
  const y = new Float64Array(o.length);
  for (let at = 0; at < size.size; at += size.N) {
    const { mean, rstd, bonus } = head(x, made, o, size, at, Number(attrs.epsilon));
    for (let i = at; i < at + size.N; i++) {
      const j = i % size.D;
      y[i] = ((o[i] - mean) * rstd * x.ln_w[j] + x.ln_b[j] + made.v[i] * bonus) * x.gate[i];
    }
  }
  return { y, o, out: back(taken(turned, size.rule), size.turned), states: done.states };
};

const step: Plain = (x, shapes, attrs) => {
  const size = sizes(shapes, attrs);
  const { D, N } = size;
  const made = prepare(x, size);
  const next = new Float64Array(x.s.length);
  const o = new Float64Array(size.size);
  const y = new Float64Array(size.size);
  for (let at = 0; at < size.size; at += N) {
    for (let i = at; i < at + N; i++) {
      const own = x.s.subarray(i * N, (i + 1) * N); // of value channel i - at
      const out = own.reduce((sum, u, j) => sum + u * made.a[at + j], 0);
      for (let j = 0; j < N; j++) {
        const now = own[j] * Math.exp(made.w_log[at + j]) + out * made.b[at + j] + made.v[i] * made.k[at + j];
        next[i * N + j] = now;
        o[i] += now * made.r[at + j];
      }
    }
    const { mean, rstd, bonus } = head(x, made, o, size, at, Number(attrs.epsilon));
    for (let i = at; i < at + N; i++) {
      const j = i % D;
      y[i] = ((o[i] - mean) * rstd * x.ln_w[j] + x.ln_b[j] + made.v[i] * bonus) * x.gate[i];
    }
  }
  return { s: next, y };
};

/** S a of each token [B, H, T, N]: what the rule reads along a before it writes. */
function taken(rule: Arrays, shapes: Shapes): Float64Array {
  const [B, H, T, N] = shapes.r;
  const out = new Float64Array(B * H * T * N);
  for (let row = 0; row < B * H; row++) {
    let S = new Float64Array(N * N);
    for (let t = 0; t < T; t++) {
      const at = (row * T + t) * N;
      const next = new Float64Array(N * N);
      for (let i = 0; i < N; i++) {
        for (let j = 0; j < N; j++) out[at + i] += S[i * N + j] * rule.a[at + j];
        for (let j = 0; j < N; j++)
          next[i * N + j] =
            S[i * N + j] * Math.exp(rule.w_log[at + j]) +
            out[at + i] * rule.b[at + j] +
            rule.v[at + i] * rule.k[at + j];
      }
      S = next;
    }
  }
  return out;
}

const gradient: Plain = (x, shapes, attrs) => {
  const size = sizes(shapes, attrs);
  const { D, N } = size;
  const made = prepare(x, size);
  const { o, dy } = x;
  const like = (u?: Float64Array) => new Float64Array(u?.length ?? 0);
  const to = Object.fromEntries(
    [
      'r',
      'decay',
      'key',
      'v',
      'rate',
      'gate',
      'first',
      'share',
      'w0',
      'a0',
      'k_k',
      'k_a',
      'r_k',
      'ln_w',
      'ln_b',
      'v0',
    ].map((name) => [`d${name}`, like(x[name])]),
  );
  const [slope, behind, bonuses, pulls] = [like(o), like(o), like(o), like(o)];
  for (let at = 0; at < size.size; at += N) {
    const { mean, rstd, bonus } = head(x, made, o, size, at, Number(attrs.epsilon));
    let [total, along, pull] = [0, 0, 0];
    for (let i = at; i < at + N; i++) {
      const [j, normed] = [i % D, (o[i] - mean) * rstd];
      behind[i] = dy[i] * x.gate[i];
      to.dgate[i] = dy[i] * (normed * x.ln_w[j] + x.ln_b[j] + made.v[i] * bonus);
      to.dln_w[j] += behind[i] * normed;
      to.dln_b[j] += behind[i];
      slope[i] = behind[i] * x.ln_w[j];
      total += slope[i];
      along += slope[i] * normed;
      pull += behind[i] * made.v[i];
    }
    for (let i = at; i < at + N; i++) {
      slope[i] = rstd * (slope[i] - total / N - ((o[i] - mean) * rstd * along) / N);
      bonuses[i] = bonus;
      pulls[i] = pull;
    }
  }
  const turned = Object.fromEntries(RULE.map((name) => [name, swap(made[name], size.turned)]));
  const slopes = plain.Wkv7Grad({ ...turned, dy: swap(slope, size.turned) }, size.rule, {});
  const of = Object.fromEntries(RULE.map((name) => [name, back(slopes[`d${name}`], size.turned)]));
  for (let at = 0; at < size.size; at += N) {
    let dot = 0; // of the unit direction and its slope
    for (let i = at; i < at + N; i++) dot += (of.b[i] * made.rate[i] - of.a[i]) * -made.a[i];
    if (made.length[at] <= 1e-12) dot = 0;
    for (let i = at; i < at + N; i++) {
      const j = i % D;
      const dk = of.k[i] + pulls[i] * x.r[i] * x.r_k[j];
      to.dr[i] = of.r[i] + pulls[i] * made.k[i] * x.r_k[j];
      to.dr_k[j] += pulls[i] * x.r[i] * made.k[i];
      const du = (of.b[i] * made.rate[i] - of.a[i] + made.a[i] * dot) / made.length[i];
      to.dkey[i] = dk * (1 + (made.rate[i] - 1) * x.k_a[j]) + du * x.k_k[j];
      to.dk_k[j] += du * x.key[i];
      to.dk_a[j] += dk * x.key[i] * (made.rate[i] - 1);
      to.drate[i] = (dk * x.key[i] * x.k_a[j] - of.b[i] * made.a[i]) * made.rate[i] * (1 - made.rate[i]);
      to.da0[j] += to.drate[i];
      to.ddecay[i] = of.w_log[i] * STRONGEST_DECAY * made.open[i] * (1 - made.open[i]);
      to.dw0[j] += to.ddecay[i];
      const dv = of.v[i] + behind[i] * bonuses[i];
      to.dv[i] = dv * (1 - made.part[i]);
      if (!x.first) continue;
      to.dfirst[i] = dv * made.part[i];
      to.dshare[i] = dv * (x.first[i] - x.v[i]) * made.part[i] * (1 - made.part[i]);
      to.dv0[j] += to.dshare[i];
    }
  }
  return to;
};

export const plainMix: Record<string, Plain> = { Rwkv7Mix: forward, Rwkv7MixGrad: gradient, Rwkv7MixStep: step };
