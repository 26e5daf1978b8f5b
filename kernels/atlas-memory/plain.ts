// The memory of ATLAS as float64 loops over one head of one sequence at a time, token by token, and its adjoint. Orthogonalisation is
// written as published, on the matrix itself; the native kernel works on its Gram matrix.
import type { Arrays, Attrs, Plain, Shapes } from '../core/kernel';
import { matricesOf, segmentStarts } from './kernel';

type Vector = number[];
type Matrix = Vector[];

const zeros = (r: number, s: number): Matrix => Array.from({ length: r }, () => new Array<number>(s).fill(0));
const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, value, i) => sum + value * b[i][j], 0)));
/** x·a + y·b, entry by entry. */
const blend = (x: number, a: Matrix, y: number, b: Matrix): Matrix =>
  a.map((row, i) => row.map((value, j) => x * value + y * b[i][j]));
const inner = (a: Matrix, b: Matrix): number =>
  a.reduce((sum, row, i) => sum + row.reduce((s, value, j) => s + value * b[i][j], 0), 0);
const dot = (a: Vector, b: Vector): number => a.reduce((sum, value, i) => sum + value * b[i], 0);
const sigmoid = (u: number) => 1 / (1 + Math.exp(-u));
const along = (x: Vector, m: Matrix): Vector => times([x], m)[0];
const across = (m: Matrix, y: Vector): Vector => m.map((row) => dot(row, y));
function addOuter(to: Matrix, left: Vector, right: Vector): void {
  for (const [i, x] of left.entries()) for (const [j, y] of right.entries()) to[i][j] += x * y;
}
function addTo(to: Vector, more: Vector): void {
  for (const [i, value] of more.entries()) to[i] += value;
}

const [A, B, C] = [3.4445, -4.775, 2.0315];
const EPSILON = 1e-7;

/** NS(S), its steps X, and the gradient dS from a dX. */
export function orthogonal(S: Matrix, steps: number): { X: Matrix; back(dX: Matrix): Matrix } {
  if (steps === 0) return { X: S, back: (dX) => dX };
  const tall = S.length > S[0].length;
  const wide = tall ? transposed(S) : S;
  const norm = Math.sqrt(inner(wide, wide) + 1e-30);
  const length = norm + EPSILON;
  const xs = [blend(1 / length, wide, 0, wide)];
  const halves: { gram: Matrix; poly: Matrix }[] = [];
  for (let step = 0; step < steps; step++) {
    const X = xs[step];
    const gram = times(X, transposed(X));
    const poly = blend(B, gram, C, times(gram, gram));
    halves.push({ gram, poly });
    xs.push(blend(A, X, 1, times(poly, X)));
  }
  return {
    X: tall ? transposed(xs[steps]) : xs[steps],
    back(given) {
      let d = tall ? transposed(given) : given;
      for (let step = steps - 1; step >= 0; step--) {
        const { gram, poly } = halves[step];
        const X = xs[step];
        const dPoly = times(d, transposed(X));
        const dGram = blend(B, dPoly, C, blend(1, times(gram, dPoly), 1, times(dPoly, gram)));
        const both = blend(1, dGram, 1, transposed(dGram));
        d = blend(1, blend(A, d, 1, times(poly, d)), 1, times(both, X));
      }
      const dS = blend(1 / length, d, -inner(d, wide) / (norm * length * length), wide);
      return tall ? transposed(dS) : dS;
    },
  };
}

/** What a memory makes of a key, and where its gradient comes from. */
function lesson(w: Matrix[], p: Vector, k: Vector, v: Vector, gamma: number) {
  const before = along(p, w[0]);
  if (w.length === 1) {
    const residual = before.map((u, j) => u - v[j]);
    const error = residual.map((u) => gamma * u);
    return { before, open: before, hidden: before, residual, error, thrown: before, factors: [[p, error]] };
  }
  const open = before.map(sigmoid);
  const hidden = before.map((u, j) => u * open[j]);
  const residual = along(hidden, w[1]).map((u, j) => u + k[j] - v[j]);
  const error = residual.map((u) => gamma * u);
  const thrown = across(w[1], error);
  const back = thrown.map((u, j) => u * slope(before[j], open[j]));
  return { before, open, hidden, residual, error, thrown, factors: [[p, back], [hidden, error]] }; // biome-ignore format: short
}
/** Of silu at u, with its sigmoid. */
const slope = (u: number, open: number): number => open * (1 + u * (1 - open));

function answer(w: Matrix[], q: Vector, pq: Vector) {
  const before = along(pq, w[0]);
  if (w.length === 1) return { before, hidden: before, y: before };
  const hidden = before.map((u) => u * sigmoid(u));
  return { before, hidden, y: along(hidden, w[1]).map((u, j) => u + q[j]) };
}

interface Memory {
  w: Matrix[];
  s: Matrix[];
}
interface Head {
  p: Matrix;
  k: Matrix;
  v: Matrix;
  gamma: Vector;
  q: Matrix;
  pq: Matrix;
  alpha: Vector;
  eta: Vector;
  theta: Vector;
}

/** Reads all tokens of one head; `states[n]` and `anchors[n]` are those that token n meets. */
function read(head: Head, start: Memory, given: Matrix[], attrs: Attrs) {
  const { window, chunk, nsSteps, position = 0 } = attrs as Record<string, number>;
  const behind = head.k.length - head.q.length;
  const states = [start];
  const anchors: Matrix[][] = [];
  let anchor = given;
  const y = head.q.map((q, n) => {
    const { w, s } = states[n];
    if ((position + n) % chunk === 0) anchor = w;
    anchors.push(anchor);
    const gradient = s.map((one) => zeros(one.length, one[0].length));
    for (let i = Math.max(0, behind + n - window + 1); i <= behind + n; i++)
      for (const [m, [left, right]] of lesson(anchor, head.p[i], head.k[i], head.v[i], head.gamma[i]).factors.entries())
        addOuter(gradient[m], left, right);
    const momenta = s.map((one, m) => blend(head.theta[n], one, 1, gradient[m]));
    const moved = w.map((one, m) => blend(head.alpha[n], one, -head.eta[n], orthogonal(momenta[m], nsSteps).X));
    states.push({ w: moved, s: momenta });
    return answer(moved, q, head.pq[n]).y;
  });
  return { y, states, anchors };
}

const NAMES = ['p', 'k', 'v', 'gamma', 'q', 'pq', 'alpha', 'eta', 'theta'] as const;

/** Row n of an input, as numbers or as rows of them. */
function headOf(inputs: Arrays, shapes: Shapes, n: number): Head {
  const part = (name: string) => {
    const [, rows, width = 1] = shapes[name];
    const from = inputs[name].subarray(n * rows * width, (n + 1) * rows * width);
    return shapes[name].length === 2
      ? Array.from(from)
      : Array.from({ length: rows }, (_, i) => Array.from(from.subarray(i * width, (i + 1) * width)));
  };
  return Object.fromEntries(NAMES.map((name) => [name, part(name)])) as unknown as Head;
}
/** Matrices number n of `<prefix>1` and `<prefix>2`, or undefined where they are absent. */
function matrices(inputs: Arrays, shapes: Shapes, prefix: string, n: number): Matrix[] | undefined {
  const names = [`${prefix}1`, `${prefix}2`].filter((name) => inputs[name]);
  if (!names.length) return undefined;
  const sides = matricesOf(shapes);
  return names.map((name, m) => {
    const [r, s] = sides[m];
    return Array.from({ length: r }, (_, i) => Array.from(inputs[name].subarray((n * r + i) * s, (n * r + i + 1) * s)));
  });
}
const still = (w: Matrix[]): Matrix[] => w.map((one) => zeros(one.length, one[0].length));

const forward: Plain = (inputs, shapes, attrs) => {
  const [R, T] = shapes.q;
  const starts = segmentStarts(Number(attrs.chunk), T);
  const ys: number[] = [];
  const kept: number[] = [];
  for (let n = 0; n < R; n++) {
    const w = matrices(inputs, shapes, 'w', n % shapes.w1[0])!;
    const { y, states } = read(headOf(inputs, shapes, n), { w, s: still(w) }, w, attrs);
    ys.push(...y.flat());
    for (const t of starts)
      for (const one of [states[t].w, states[t].s]) {
        const flat = one.flat(2);
        kept.push(...flat, ...flat.map(() => 0)); // in float64 nothing is left of the rounding
      }
  }
  return { y: Float64Array.from(ys), states: Float64Array.from(kept) };
};

const step: Plain = (inputs, shapes, attrs) => {
  const outputs: Record<string, number[]> = { y: [], nextW1: [], nextS1: [], nextW2: [], nextS2: [] };
  for (let n = 0; n < shapes.q[0]; n++) {
    const w = matrices(inputs, shapes, 'w', n)!;
    const s = matrices(inputs, shapes, 's', n)!;
    const done = read(headOf(inputs, shapes, n), { w, s }, matrices(inputs, shapes, 'anchor', n) ?? w, attrs);
    const last = done.states[done.states.length - 1];
    outputs.y.push(...done.y.flat());
    for (const m of w.keys()) {
      outputs[`nextW${m + 1}`].push(...last.w[m].flat());
      outputs[`nextS${m + 1}`].push(...last.s[m].flat());
    }
  }
  return Object.fromEntries(Object.keys(atlasOutputs(shapes)).map((name) => [name, Float64Array.from(outputs[name])]));
};
const atlasOutputs = ({ w2 }: Shapes) => ({ y: 0, nextW1: 0, nextS1: 0, ...(w2 && { nextW2: 0, nextS2: 0 }) });

/** Slopes of one head, and of its start. */
function walkBack(head: Head, start: Matrix[], dys: Matrix, attrs: Attrs) {
  const { window, chunk, nsSteps } = attrs as Record<string, number>;
  const { states, anchors } = read(head, { w: start, s: still(start) }, start, attrs);
  const like = (m: Matrix): Matrix => m.map((row) => row.map(() => 0));
  const d = {
    p: like(head.p),
    k: like(head.k),
    v: like(head.v),
    gamma: head.gamma.map(() => 0),
    q: like(head.q),
    pq: like(head.pq),
    alpha: head.alpha.map(() => 0),
    eta: head.alpha.map(() => 0),
    theta: head.alpha.map(() => 0),
  };
  let dW = still(start);
  let dS = still(start);
  let dAnchor = still(start);
  for (let n = head.q.length - 1; n >= 0; n--) {
    const [before, after] = [states[n], states[n + 1]];
    const dy = dys[n];
    const at = answer(after.w, head.q[n], head.pq[n]);
    if (start.length === 1) {
      addOuter(dW[0], head.pq[n], dy);
      d.pq[n] = across(after.w[0], dy);
    } else {
      d.q[n] = dy;
      addOuter(dW[1], at.hidden, dy);
      const dBefore = across(after.w[1], dy).map((u, j) => u * slope(at.before[j], sigmoid(at.before[j])));
      addOuter(dW[0], head.pq[n], dBefore);
      d.pq[n] = across(after.w[0], dBefore);
    }
    const steps = after.s.map((one) => orthogonal(one, nsSteps));
    for (const [m, { X, back }] of steps.entries()) {
      d.alpha[n] += inner(dW[m], before.w[m]);
      d.eta[n] -= inner(dW[m], X);
      dS[m] = blend(1, dS[m], 1, back(blend(-head.eta[n], dW[m], 0, dW[m])));
      d.theta[n] += inner(dS[m], before.s[m]);
    }
    const anchor = anchors[n];
    for (let i = Math.max(0, n - window + 1); i <= n; i++) {
      const {
        before: pre,
        open,
        hidden,
        residual,
        error,
        thrown,
        factors,
      } = lesson(anchor, head.p[i], head.k[i], head.v[i], head.gamma[i]);
      const dLeft = factors.map(([, right], m) => across(dS[m], right));
      const dRight = factors.map(([left], m) => along(left, dS[m]));
      addTo(d.p[i], dLeft[0]);
      const last = factors.length - 1;
      const dError = dRight[last];
      const dBefore = pre.map(() => 0);
      if (last === 1) {
        const dThrown = pre.map((u, j) => dRight[0][j] * slope(u, open[j]));
        addTo(dBefore, pre.map((u, j) => dRight[0][j] * thrown[j] * open[j] * (1 - open[j]) * (2 + u * (1 - 2 * open[j])))); // biome-ignore format: one sum
        addTo(dError, along(dThrown, anchor[1]));
        addOuter(dAnchor[1], dThrown, error);
      }
      d.gamma[i] += dot(dError, residual);
      const dResidual = dError.map((u) => head.gamma[i] * u);
      addTo(d.v[i], dResidual.map((u) => -u)); // biome-ignore format: short
      if (last === 1) {
        addTo(d.k[i], dResidual);
        const dHidden = across(anchor[1], dResidual).map((u, j) => u + dLeft[1][j]);
        addOuter(dAnchor[1], hidden, dResidual);
        addTo(dBefore, dHidden.map((u, j) => u * slope(pre[j], open[j]))); // biome-ignore format: short
      } else addTo(dBefore, dResidual);
      addTo(d.p[i], across(anchor[0], dBefore));
      addOuter(dAnchor[0], head.p[i], dBefore);
    }
    dW = dW.map((one) => blend(head.alpha[n], one, 0, one));
    dS = dS.map((one) => blend(head.theta[n], one, 0, one));
    if (n % chunk === 0) {
      dW = dW.map((one, m) => blend(1, one, 1, dAnchor[m]));
      dAnchor = still(start);
    }
  }
  return { d, dW };
}

const gradient: Plain = (inputs, shapes, attrs) => {
  const [R, T, width] = shapes.q;
  const H = shapes.w1[0];
  const sums: Record<string, number[]> = Object.fromEntries(NAMES.map((name) => [`d${name}`, []]));
  const starts = Array.from({ length: H }, (_, h) => still(matrices(inputs, shapes, 'w', h)!));
  for (let n = 0; n < R; n++) {
    const dys = Array.from({ length: T }, (_, t) =>
      Array.from(inputs.dy.subarray((n * T + t) * width, (n * T + t + 1) * width)),
    );
    const { d, dW } = walkBack(headOf(inputs, shapes, n), matrices(inputs, shapes, 'w', n % H)!, dys, attrs);
    for (const name of NAMES) sums[`d${name}`].push(...(d[name] as Matrix).flat());
    starts[n % H] = starts[n % H].map((one, m) => blend(1, one, 1, dW[m]));
  }
  const of = (m: number) => starts.flatMap((one) => one[m]?.flat() ?? []);
  const all = { ...sums, dw1: of(0), dw2: of(1) };
  return Object.fromEntries(Object.entries(all).map(([name, values]) => [name, Float64Array.from(values)]));
};

export const plain: Record<string, Plain> = {
  AtlasMemory: forward,
  AtlasMemoryGrad: gradient,
  AtlasMemoryStep: step,
};
