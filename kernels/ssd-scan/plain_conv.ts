// The causal convolution with SiLU that stands before Mamba-2's scan, as float64 loops.
import type { Arrays, Shapes } from '../core/kernel';

const sigmoid = (u: number): number => 1 / (1 + Math.exp(-u));

/** Calls with(k, from, to) for each tap k, and the number of mixed [b, T, C] that it takes to u at `to`. */
function eachTap({ mixed: [b, T, C], taps: [K] }: Shapes, tap: (k: number, from: number, to: number) => void) {
  for (let row = 0; row < b; row++)
    for (let t = 0; t < T; t++)
      for (let k = Math.max(0, K - 1 - t); k < K; k++)
        for (let c = 0; c < C; c++) tap(k, (row * T + t + k - K + 1) * C + c, (row * T + t) * C + c);
}

/** What SiLU sees: u[t] = bias + Σ_k taps[k] · mixed[t + k − (K−1)], zeros before the first token. */
function before({ mixed, taps, bias }: Arrays, shapes: Shapes): Float64Array {
  const C = shapes.mixed[2];
  const u = Float64Array.from(mixed, (_, i) => bias?.[i % C] ?? 0);
  eachTap(shapes, (k, from, to) => {
    u[to] += taps[k * C + (to % C)] * mixed[from];
  });
  return u;
}

/** mixed [b, T, C], taps [K, C] and bias [C] to silu(u). */
export const convolved = (inputs: Arrays, shapes: Shapes): Float64Array =>
  before(inputs, shapes).map((u) => u * sigmoid(u));

/** From the slopes dy of what comes out to those of what goes in. */
export function convolvedSlopes({ mixed, taps, bias }: Arrays, shapes: Shapes, dy: Float64Array) {
  const C = shapes.mixed[2];
  const du = before({ mixed, taps, bias }, shapes).map((u, i) => dy[i] * sigmoid(u) * (1 + u * (1 - sigmoid(u))));
  const [dmixed, dtaps, dbias] = [mixed, taps, { length: C }].map(({ length }) => new Float64Array(length));
  eachTap(shapes, (k, from, to) => {
    dmixed[from] += du[to] * taps[k * C + (to % C)];
    dtaps[k * C + (to % C)] += du[to] * mixed[from];
  });
  for (const [i, slope] of du.entries()) dbias[i % C] += slope;
  return { dmixed, dtaps, dbias };
}
