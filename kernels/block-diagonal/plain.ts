// Linear maps of blocks of channels as float64 loops.
import { type Arrays, type Plain, type Shapes, sizeOf } from '../core/kernel';

/** Calls `each` with the indices of x, w and y of every product. */
function pairs({ x, w: [N, I, O] }: Shapes, each: (from: number, weight: number, to: number) => void) {
  const rows = sizeOf(x.slice(0, -1));
  for (let r = 0; r < rows; r++)
    for (let n = 0; n < N; n++)
      for (let i = 0; i < I; i++)
        for (let o = 0; o < O; o++) each((r * N + n) * I + i, (n * I + i) * O + o, (r * N + n) * O + o);
}

const forward: Plain = ({ x, w, bias }, shapes) => {
  const [N, , O] = shapes.w;
  const y = new Float64Array(sizeOf(shapes.x.slice(0, -1)) * N * O);
  if (bias) for (let i = 0; i < y.length; i++) y[i] = bias[i % (N * O)];
  pairs(shapes, (from, weight, to) => {
    y[to] += x[from] * w[weight];
  });
  return { y };
};

const gradient: Plain = ({ x, w, dy }, shapes) => {
  const [N, , O] = shapes.w;
  const dx = new Float64Array(x.length);
  const dw = new Float64Array(w.length);
  const dbias = new Float64Array(N * O);
  for (let i = 0; i < dy.length; i++) dbias[i % (N * O)] += dy[i];
  pairs(shapes, (from, weight, to) => {
    dx[from] += dy[to] * w[weight];
    dw[weight] += dy[to] * x[from];
  });
  return { dx, dw, dbias };
};

const PARTS = ['q', 'k', 'v'] as const;
const fromOf = (part: string) => (part === 'v' ? 'u' : 'c');
const mapOf = ({ c }: Shapes): Shapes => ({ x: c, w: [c[c.length - 1] / 4, 4, 4] });

/** Calls `each` for channel `e` of each part, by its row: the number's place, the gate's, and that of the weight between them. */
function gatePairs({ c, w_i: [, H] }: Shapes, each: (part: string, at: number, gate: number, weight: number) => void) {
  const E = c[c.length - 1];
  for (let r = 0; r < sizeOf(c.slice(0, -1)); r++)
    PARTS.forEach((part, p) => {
      for (let e = 0; e < E; e++) for (let h = 0; h < H; h++) each(part, r * E + e, r * H + h, (p * E + e) * H + h);
    });
}

const gated: Plain = (inputs, shapes) => {
  const to: Arrays = {};
  for (const part of PARTS) {
    const given = { x: inputs[fromOf(part)], w: inputs[`w_${part}`], bias: inputs[`b_${part}`] };
    to[part] = forward(given, mapOf(shapes), {}).y;
  }
  const [, H] = shapes.w_i;
  for (const gate of ['i', 'f']) {
    const bias = inputs[`b_${gate}`];
    to[gate] = Float64Array.from({ length: sizeOf(shapes.c.slice(0, -1)) * H }, (_, at) => bias[at % H]);
    gatePairs(shapes, (part, at, place, weight) => {
      to[gate][place] += to[part][at] * inputs[`w_${gate}`][weight];
    });
  }
  return to;
};

const gatedGradient: Plain = (inputs, shapes) => {
  const result: Arrays = { dc: new Float64Array(inputs.c.length), du: new Float64Array(inputs.u.length) };
  const [, H] = shapes.w_i;
  const noBiases = { b_i: new Float64Array(H), b_f: new Float64Array(H) };
  const values = gated({ ...inputs, ...noBiases }, shapes, {});
  const slopes: Arrays = Object.fromEntries(PARTS.map((part) => [part, Float64Array.from(inputs[`d${part}`])]));
  for (const gate of ['i', 'f']) {
    const [own, w] = [inputs[`d${gate}`], inputs[`w_${gate}`]];
    const dw = new Float64Array(w.length);
    const db = new Float64Array(H);
    for (let at = 0; at < own.length; at++) db[at % H] += own[at];
    gatePairs(shapes, (part, at, place, weight) => {
      slopes[part][at] += own[place] * w[weight];
      dw[weight] += own[place] * values[part][at];
    });
    Object.assign(result, { [`dw_${gate}`]: dw, [`db_${gate}`]: db });
  }
  for (const part of PARTS) {
    const from = fromOf(part);
    const given = { x: inputs[from], w: inputs[`w_${part}`], dy: slopes[part] };
    const { dx, dw, dbias } = gradient(given, mapOf(shapes), {});
    for (let at = 0; at < dx.length; at++) result[`d${from}`][at] += dx[at];
    Object.assign(result, { [`dw_${part}`]: dw, [`db_${part}`]: dbias });
  }
  return result;
};

export const plain: Record<string, Plain> = {
  BlockDiagonal: forward,
  BlockDiagonalGrad: gradient,
  GatedBlocks: gated,
  GatedBlocksGrad: gatedGradient,
};
