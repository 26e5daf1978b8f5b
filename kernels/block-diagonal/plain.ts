// Linear maps of blocks of channels as float64 loops.
import { type Plain, type Shapes, sizeOf } from '../core/kernel';

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

export const plain: Record<string, Plain> = { BlockDiagonal: forward, BlockDiagonalGrad: gradient };
