// The matrix memory of xLSTM as float64 loops over all pairs of tokens, alone and with the maps of its gates, and the derivative of that.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';

const logSigmoid = (x: number) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

interface Row {
  d: number;
  /** Token t of the row, in i and f; times d in q, k, v. */
  at: number;
  t: number;
  /** Weights e^(A - m) of tokens j <= t, the stabiliser m = max A, and the token that attains it. */
  weights: number[];
  m: number;
  top: number;
  /** Products of query t and key j over √d. */
  pairs: number[];
  /** Σ pairs · weights, and what y[t] is divided by. */
  size: number;
  denominator: number;
}

/** Calls `each` for every token of every row. */
function run({ q, k, i, f }: Arrays, { q: [batch, H, T, d] }: Shapes, attrs: Attrs, each: (row: Row) => void) {
  const lf = f.map((x) => (attrs.forgetGate === 'exp' ? x : logSigmoid(x)));
  for (let row = 0; row < batch * H; row++)
    for (let t = 0; t < T; t++) {
      const first = row * T;
      const logs: number[] = [];
      let faded = 0;
      for (let j = t; j >= 0; j--) {
        logs[j] = faded + i[first + j];
        faded += lf[first + j];
      }
      const m = Math.max(...logs);
      const weights = logs.map((log) => Math.exp(log - m));
      const pairs = logs.map((_, j) => {
        let sum = 0;
        for (let c = 0; c < d; c++) sum += q[(first + t) * d + c] * k[(first + j) * d + c];
        return sum / Math.sqrt(d);
      });
      const size = pairs.reduce((sum, pair, j) => sum + pair * weights[j], 0);
      const floor = Math.exp(Math.min(80, Math.max(-40, -m)));
      const denominator = Math.max(Math.abs(size), floor) + ((attrs.eps as number) ?? 1e-6);
      each({ d, at: first + t, t, weights, m, top: logs.indexOf(m), pairs, size, denominator });
    }
}

/** Memory [d + 2, d] before each chunk, at the scale of its stabiliser: the largest log weight, or that of the memory before. */
function memories({ k, v, i, f }: Arrays, { q: [batch, H, T, d] }: Shapes, attrs: Attrs): Arrays {
  const chunks = Math.ceil(T / 64);
  const held = new Float64Array(batch * H * chunks * (d + 2) * d);
  const stabilisers = new Float64Array(batch * H * chunks);
  for (let row = 0; row < batch * H; row++) {
    let memory = new Float64Array((d + 1) * d);
    let m = -1e30;
    let ruling = new Float64Array(d); // the value with the largest log weight
    for (let t = 0; t < T; t++) {
      const at = row * T + t;
      if (t % 64 === 0) {
        const about = memory.map((x, e) => (e < d * d ? x - memory[d * d + Math.floor(e / d)] * ruling[e % d] : x));
        held.set([...about, ...ruling], (row * chunks + t / 64) * (d + 2) * d);
        stabilisers[row * chunks + t / 64] = m;
      }
      const lf = attrs.forgetGate === 'exp' ? f[at] : logSigmoid(f[at]);
      const next = Math.max(lf + m, i[at]);
      const [keep, write] = [Math.exp(lf + m - next), Math.exp(i[at] - next) / Math.sqrt(d)];
      memory = memory.map((value, e) => {
        const [a, b] = [Math.floor(e / d), e % d];
        return keep * value + write * (a < d ? k[at * d + a] * v[at * d + b] : k[at * d + b]);
      });
      if (i[at] > lf + m) ruling = v.slice(at * d, (at + 1) * d);
      m = next;
    }
  }
  return { memories: held, stabilisers };
}

const forward: Plain = (inputs, shapes, attrs) => {
  const y = new Float64Array(inputs.q.length);
  const sizes = new Float64Array(inputs.i.length);
  run(inputs, shapes, attrs, ({ d, at, t, weights, pairs, size, denominator }) => {
    sizes[at] = size;
    for (let j = 0; j <= t; j++)
      for (let c = 0; c < d; c++)
        y[at * d + c] += (pairs[j] * weights[j] * inputs.v[(at - t + j) * d + c]) / denominator;
  });
  return { y, ...memories(inputs, shapes, attrs), size: sizes };
};

const gradient: Plain = (inputs, shapes, attrs) => {
  const { q, k, v, f, dy } = inputs;
  const { y } = forward(inputs, shapes, attrs);
  const [dq, dk, dv] = [q, k, v].map((u) => new Float64Array(u.length));
  const [di, dlf] = [f, f].map((u) => new Float64Array(u.length));
  run(inputs, shapes, attrs, ({ d, at, t, weights, m, top, pairs, size, denominator }) => {
    let through = 0; // dy · y
    for (let c = 0; c < d; c++) through += dy[at * d + c] * y[at * d + c];
    const outweighs = Math.abs(size) > Math.exp(Math.min(80, Math.max(-40, -m)));
    const dsize = outweighs ? (-through / denominator) * Math.sign(size) : 0;
    for (let j = 0; j <= t; j++) {
      const to = at - t + j;
      let G = dsize;
      for (let c = 0; c < d; c++) G += (dy[at * d + c] / denominator) * v[to * d + c];
      G *= weights[j];
      for (let c = 0; c < d; c++) {
        dq[at * d + c] += (G * k[to * d + c]) / Math.sqrt(d);
        dk[to * d + c] += (G * q[at * d + c]) / Math.sqrt(d);
        dv[to * d + c] += (pairs[j] * weights[j] * dy[at * d + c]) / denominator;
      }
      // eps stays as it is when the largest weight grows, and so weighs less.
      const slope = G * pairs[j] - (j === top ? (through * ((attrs.eps as number) ?? 1e-6)) / denominator : 0);
      di[to] += slope;
      for (let s = j + 1; s <= t; s++) dlf[at - t + s] += slope;
    }
  });
  const df = dlf.map((slope, at) => (attrs.forgetGate === 'exp' ? slope : slope / (1 + Math.exp(f[at]))));
  return { dq, dk, dv, di, df };
};

/** u [b, n, m, ...] with axes 1 and 2 exchanged; `inner` numbers lie beside each other. */
function exchange(u: Float64Array, [batch, n, m]: readonly number[], inner: number): Float64Array {
  const turned = new Float64Array(u.length);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < m; j++)
        turned.set(
          u.subarray(((b * n + i) * m + j) * inner, ((b * n + i) * m + j + 1) * inner),
          ((b * m + j) * n + i) * inner,
        );
  return turned;
}

/** The same for tensors with the tokens before the heads. */
const inEitherOrder =
  (heads: Plain): Plain =>
  (inputs, shapes, attrs) => {
    if (!attrs.tokensFirst) return heads(inputs, shapes, attrs);
    const [batch, T, H, d] = shapes.q;
    const wide = ['q', 'k', 'v', 'y', 'dy', 'dq', 'dk', 'dv'];
    const narrow = ['i', 'f', 'size', 'di', 'df'];
    const turn = (all: Arrays, order: readonly number[]): Arrays =>
      Object.fromEntries(
        Object.entries(all).map(([name, u]) => {
          if (wide.includes(name)) return [name, exchange(u, order, d)];
          return [name, narrow.includes(name) ? exchange(u, order, 1) : u];
        }),
      );
    const [q, i] = [
      [batch, H, T, d],
      [batch, H, T],
    ];
    const outputs = heads(turn(inputs, [batch, T, H]), { ...shapes, q, k: q, v: q, i, f: i }, attrs);
    return turn(outputs, [batch, H, T]);
  };

const cell = inEitherOrder(forward);
const cellGradient = inEitherOrder(gradient);

/** Shapes and attributes of the cell whose gates a gated one makes. */
function within({ q }: Shapes, attrs: Attrs): [Shapes, Attrs] {
  const gates = q.slice(0, 3);
  return [
    { q, k: q, v: q, i: gates, f: gates },
    { ...attrs, tokensFirst: true },
  ];
}

/** Calls `each` for gate h of token t (counted over all sequences), and channel e of the three tensors side by side. */
function eachChannel({ q: [b, T, H, d] }: Shapes, each: (t: number, h: number, part: number, e: number) => void) {
  for (let t = 0; t < b * T; t++)
    for (let h = 0; h < H; h++)
      for (let part = 0; part < 3; part++) for (let e = 0; e < H * d; e++) each(t, h, part, e);
}

const gated: Plain = (inputs, shapes, attrs) => {
  const [, T, H, d] = shapes.q;
  const E = H * d;
  const tokens = shapes.q[0] * T;
  const three = [inputs.q, inputs.k, inputs.v];
  const [i, f] = [inputs.b_i, inputs.b_f].map((bias) =>
    Float64Array.from({ length: tokens * H }, (_, at) => bias[at % H]),
  );
  eachChannel(shapes, (t, h, part, e) => {
    const x = three[part][t * E + e];
    i[t * H + h] += x * inputs.w_i[(part * E + e) * H + h];
    f[t * H + h] += x * inputs.w_f[(part * E + e) * H + h];
  });
  return { ...cell({ ...inputs, i, f }, ...within(shapes, attrs)), i, f };
};

const gatedGradient: Plain = (inputs, shapes, attrs) => {
  const [, , H, d] = shapes.q;
  const E = H * d;
  const three = [inputs.q, inputs.k, inputs.v];
  const { dq, dk, dv, di, df } = cellGradient(inputs, ...within(shapes, attrs));
  const slopes = [dq, dk, dv];
  const [dw_i, dw_f] = [inputs.w_i, inputs.w_f].map((w) => new Float64Array(w.length));
  eachChannel(shapes, (t, h, part, e) => {
    const [x, row] = [three[part][t * E + e], (part * E + e) * H + h];
    dw_i[row] += x * di[t * H + h];
    dw_f[row] += x * df[t * H + h];
    slopes[part][t * E + e] += inputs.w_i[row] * di[t * H + h] + inputs.w_f[row] * df[t * H + h];
  });
  const [db_i, db_f] = [di, df].map((slope) =>
    Float64Array.from({ length: H }, (_, h) => slope.reduce((sum, x, at) => (at % H === h ? sum + x : sum), 0)),
  );
  return { dq, dk, dv, dw_i, db_i, dw_f, db_f };
};

export const plain: Record<string, Plain> = {
  MlstmCell: cell,
  MlstmCellGrad: cellGradient,
  GatedMlstm: gated,
  GatedMlstmGrad: gatedGradient,
};
