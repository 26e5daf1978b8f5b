// LSTM and GRU as float64 loops, token by token, and their adjoints.
import type { Arrays, Plain, Shapes } from '../core/kernel';

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

/** state [h] times w [h, n], plus the bias [n]. */
function fromState(state: ArrayLike<number>, w: Float64Array, n: number, bias?: Float64Array): Float64Array {
  const sums = bias ? bias.slice() : new Float64Array(n);
  for (let i = 0; i < state.length; i++) for (let j = 0; j < n; j++) sums[j] += state[i] * w[i * n + j];
  return sums;
}

interface Token {
  /** What the gradient keeps, by name, [h] each; `h` is the state after the token. */
  [name: string]: Float64Array;
}
type Cell = (x: Float64Array, state: Float64Array, before: Token) => Token;

function lstmCell(x: Float64Array, state: Float64Array, { c: old }: Token): Token {
  const h = old.length;
  const gate = (k: number, squash: (u: number) => number) => old.map((_, j) => squash(x[k * h + j] + state[k * h + j]));
  const [i, f, g, o] = [gate(0, sigmoid), gate(1, sigmoid), gate(2, Math.tanh), gate(3, sigmoid)];
  const c = old.map((u, j) => f[j] * u + i[j] * g[j]);
  return { i, f, g, o, c, h: c.map((u, j) => o[j] * Math.tanh(u)) };
}

function gruCell(x: Float64Array, state: Float64Array, { h: old }: Token): Token {
  const h = old.length;
  const r = old.map((_, j) => sigmoid(x[j] + state[j]));
  const z = old.map((_, j) => sigmoid(x[h + j] + state[h + j]));
  const share = old.map((_, j) => state[2 * h + j]);
  const n = old.map((_, j) => Math.tanh(x[2 * h + j] + r[j] * share[j]));
  return { r, z, n, share, h: old.map((u, j) => (1 - z[j]) * n[j] + z[j] * u) };
}

/** Walks over each sequence; `kept` names what a token keeps. */
const walk =
  (cell: Cell, kept: readonly string[]): Plain =>
  (inputs, shapes) => {
    const [B, T, n] = shapes.gates;
    const [h] = shapes.w;
    const y: number[] = [];
    const all: number[] = [];
    for (let b = 0; b < B; b++) {
      let token: Token = { h: new Float64Array(h), c: new Float64Array(h) };
      for (let t = 0; t < T; t++) {
        const x = inputs.gates.subarray((b * T + t) * n, (b * T + t + 1) * n);
        token = cell(x, fromState(token.h, inputs.w, n, inputs.bias), token);
        y.push(...token.h);
        for (const name of kept) all.push(...token[name]);
      }
    }
    return { y: Float64Array.from(y), kept: Float64Array.from(all) };
  };

const step =
  (cell: Cell, next: Record<string, string>): Plain =>
  (inputs, shapes) => {
    const [B, h] = shapes.h;
    const n = shapes.w[1];
    const tokens = Array.from({ length: B }, (_, b) => {
      const row = (name: string, width: number) => inputs[name]?.subarray(b * width, (b + 1) * width);
      const before = { h: row('h', h), c: row('c', h) };
      return cell(row('gates', n), fromState(before.h, inputs.w, n, inputs.bias), before);
    });
    return Object.fromEntries(
      Object.entries(next).map(([output, name]) => [output, Float64Array.from(tokens.flatMap((t) => [...t[name]]))]),
    );
  };

/** Slopes of one token: of the inputs' and of the state's share of the gates, and what the token before gets besides. */
interface Slopes {
  ofInput: Float64Array;
  ofState: Float64Array;
  carried: Float64Array;
}
type Back = (dh: Float64Array, carried: Float64Array, now: Token, before: Token) => Slopes;

function lstmBack(dh: Float64Array, dc: Float64Array, { i, f, g, o, c }: Token, { c: old }: Token): Slopes {
  const h = dh.length;
  const slopes = new Float64Array(4 * h);
  const carried = dh.map((u, j) => {
    const tanh = Math.tanh(c[j]);
    const slope = dc[j] + u * o[j] * (1 - tanh * tanh);
    slopes[j] = slope * g[j] * i[j] * (1 - i[j]);
    slopes[h + j] = slope * old[j] * f[j] * (1 - f[j]);
    slopes[2 * h + j] = slope * i[j] * (1 - g[j] * g[j]);
    slopes[3 * h + j] = u * tanh * o[j] * (1 - o[j]);
    return slope * f[j];
  });
  return { ofInput: slopes, ofState: slopes, carried };
}

function gruBack(dy: Float64Array, carriedH: Float64Array, { r, z, n, share }: Token, { h: old }: Token): Slopes {
  const h = dy.length;
  const ofInput = new Float64Array(3 * h);
  const ofState = new Float64Array(3 * h);
  const carried = dy.map((u, j) => {
    const dh = u + carriedH[j];
    const dn = dh * (1 - z[j]) * (1 - n[j] * n[j]);
    ofInput[j] = dn * share[j] * r[j] * (1 - r[j]);
    ofInput[h + j] = dh * (old[j] - n[j]) * z[j] * (1 - z[j]);
    ofInput[2 * h + j] = dn;
    ofState.set([ofInput[j]], j);
    ofState.set([ofInput[h + j]], h + j);
    ofState[2 * h + j] = dn * r[j];
    return dh * z[j];
  });
  return { ofInput, ofState, carried };
}

const walkBack =
  (back: Back, kept: readonly string[]): Plain =>
  ({ w, y, kept: all, dy }: Arrays, shapes: Shapes) => {
    const [B, T, h] = shapes.y;
    const n = shapes.w[1];
    const dgates = new Float64Array(B * T * n);
    const dw = new Float64Array(w.length);
    const dbias = new Float64Array(n);
    const zeros = new Float64Array(h);
    for (let b = 0; b < B; b++) {
      const token = (t: number): Token => {
        if (t < 0) return { h: zeros, c: zeros };
        const at = b * T + t;
        const own = kept.map((name, k) => [
          name,
          all.subarray((at * kept.length + k) * h, (at * kept.length + k + 1) * h),
        ]);
        return { ...Object.fromEntries(own), h: y.subarray(at * h, (at + 1) * h) };
      };
      let dState = zeros.slice(); // through the state's share of the gates
      let carried: Float64Array = zeros;
      for (let t = T - 1; t >= 0; t--) {
        const at = b * T + t;
        const before = token(t - 1);
        const slopes = back(dy.subarray(at * h, (at + 1) * h).map((u, j) => u + dState[j]), carried, token(t), before); // biome-ignore format: one call
        carried = slopes.carried;
        dgates.set(slopes.ofInput, at * n);
        dState = zeros.map((_, i) => slopes.ofState.reduce((sum, u, j) => sum + u * w[i * n + j], 0));
        for (let j = 0; j < n; j++) dbias[j] += slopes.ofState[j];
        for (let i = 0; i < h; i++) for (let j = 0; j < n; j++) dw[i * n + j] += before.h[i] * slopes.ofState[j];
      }
    }
    return { dgates, dw, dbias };
  };

const LSTM = ['i', 'f', 'g', 'o', 'c'];
const GRU = ['r', 'z', 'n', 'share'];
const lstmGradient = walkBack(lstmBack, LSTM);

export const plain: Record<string, Plain> = {
  Lstm: walk(lstmCell, LSTM),
  LstmGrad(inputs, shapes, attrs) {
    const { dgates, dw } = lstmGradient(inputs, shapes, attrs);
    return { dgates, dw };
  },
  LstmStep: step(lstmCell, { nextH: 'h', nextC: 'c' }),
  Gru: walk(gruCell, GRU),
  GruGrad: walkBack(gruBack, GRU),
  GruStep: step(gruCell, { nextH: 'h' }),
};
