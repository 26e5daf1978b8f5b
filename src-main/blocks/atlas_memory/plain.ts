// The memory of one head of one sequence as loops in float64, token by token: what the tests hold the tensors against.
import type { MemoryOptions } from './options';

type Matrix = number[][];
const zeros = (r: number, s: number): Matrix => Array.from({ length: r }, () => new Array<number>(s).fill(0));
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, value, i) => sum + value * b[i][j], 0)));
const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
/** x·a + y·b, entry by entry. */
const blend = (x: number, a: Matrix, y: number, b: Matrix): Matrix =>
  a.map((row, i) => row.map((value, j) => x * value + y * b[i][j]));
const sigmoid = (u: number) => 1 / (1 + Math.exp(-u));

export interface PlainInputs {
  /** [T][d] each. */
  q: Matrix;
  k: Matrix;
  v: Matrix;
  alpha: number[];
  eta: number[];
  theta: number[];
  gamma: number[];
  coef: number[];
  /** W1, and W2 of an MLP. */
  start: Matrix[];
}

function feature(x: number[], coef: number[], { featureMap, degree }: MemoryOptions): number[] {
  if (featureMap === 'none') return x;
  if (featureMap === 'elementwise') return x.map((u) => coef.reduce((sum, c, i) => sum + c * u ** (i + 1), 0));
  const products = x.flatMap((u, i) => x.slice(i).map((w, j) => coef[2] * (j === 0 ? 1 : Math.SQRT2) * u * w));
  return [coef[0], ...x.map((u) => coef[1] * u), ...(degree > 1 ? products : [])];
}

function recall(w: Matrix[], x: number[], p: number[]) {
  const [before] = times([p], w[0]);
  if (w.length === 1) return { before, hidden: before, out: before };
  const hidden = before.map((u) => u * sigmoid(u));
  const [out] = times([hidden], w[1]);
  return { before, hidden, out: out.map((u, j) => u + x[j]) };
}

function orthogonal(S: Matrix, steps: number): Matrix {
  if (steps === 0) return S;
  const tall = S.length > S[0].length;
  const length = Math.sqrt(S.flat().reduce((sum, u) => sum + u * u, 0)) + 1e-7;
  let X = (tall ? transposed(S) : S).map((row) => row.map((u) => u / length));
  for (let step = 0; step < steps; step++) {
    const A = times(X, transposed(X));
    X = blend(3.4445, X, 1, times(blend(-4.775, A, 2.0315, times(A, A)), X));
  }
  return tall ? transposed(X) : X;
}

/** y [T][d], and matrices and momenta after the last token. */
export function readPlain({ q, k, v, alpha, eta, theta, gamma, coef, start }: PlainInputs, options: MemoryOptions) {
  let w = start;
  let s = start.map((one) => zeros(one.length, one[0].length));
  let anchor = w;
  const y = q.map((query, n) => {
    if (n % options.chunk === 0) anchor = w;
    const gradient = start.map((one) => zeros(one.length, one[0].length));
    for (let i = Math.max(0, n - options.window + 1); i <= n; i++) {
      const p = feature(k[i], coef, options);
      const { before, hidden, out } = recall(anchor, k[i], p);
      const error = out.map((u, j) => gamma[i] * (u - v[i][j]));
      const outer = (to: Matrix, left: number[], right: number[]) => {
        for (const [a, x] of left.entries()) for (const [b, u] of right.entries()) to[a][b] += x * u;
      };
      if (anchor.length === 1) outer(gradient[0], p, error);
      else {
        const [back] = times([error], transposed(anchor[1]));
        const slope = before.map((u) => sigmoid(u) * (1 + u * (1 - sigmoid(u))));
        outer(
          gradient[0],
          p,
          back.map((u, j) => u * slope[j]),
        );
        outer(gradient[1], hidden, error);
      }
    }
    s = s.map((one, m) => blend(theta[n], one, 1, gradient[m]));
    w = w.map((one, m) => blend(alpha[n], one, -eta[n], orthogonal(s[m], options.nsSteps)));
    return recall(w, query, feature(query, coef, options)).out;
  });
  return { y, w, s };
}
