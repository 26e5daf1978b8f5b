// Mean and spread of one metric over the seeds of a configuration, step by step, from raw points.
import type { Points } from '../stores/points';

/** Per step: how many seeds had a finite value there, their mean and their sample deviation (0 where n is 1). */
export interface Band {
  step: number[];
  /** Means over the seeds that are counted at the step. */
  tokens: number[];
  seconds: number[];
  mean: number[];
  std: number[];
  n: number[];
}

/**
 * Joins seeds on equal steps. Steps may differ between them: each step takes the seeds that reported one, nothing is
 * interpolated, and `n` says how many there were. Values that are not finite are left out of the mean.
 */
export function aggregate(seeds: readonly Points[]): Band {
  // Welford's update per step: sums of squares would cancel where the spread is small beside the mean.
  const at = new Map<number, { n: number; mean: number; squares: number; tokens: number; seconds: number }>();
  for (const points of seeds)
    for (let i = 0; i < points.step.length; i++) {
      const value = points.value[i]!;
      if (!Number.isFinite(value)) continue;
      let cell = at.get(points.step[i]!);
      if (!cell) {
        cell = { n: 0, mean: 0, squares: 0, tokens: 0, seconds: 0 };
        at.set(points.step[i]!, cell);
      }
      cell.n += 1;
      const delta = value - cell.mean;
      cell.mean += delta / cell.n;
      cell.squares += delta * (value - cell.mean);
      cell.tokens += points.tokens[i]!;
      cell.seconds += points.seconds[i]!;
    }
  const steps = [...at.keys()].sort((a, b) => a - b);
  const cells = steps.map((step) => at.get(step)!);
  return {
    step: steps,
    tokens: cells.map((cell) => cell.tokens / cell.n),
    seconds: rising(cells.map((cell) => cell.seconds / cell.n)),
    mean: cells.map((cell) => cell.mean),
    std: cells.map((cell) => (cell.n > 1 ? Math.sqrt(cell.squares / (cell.n - 1)) : 0)),
    n: cells.map((cell) => cell.n),
  };
}

/** A slow seed that ends early would make the mean time jump back; a line on a time axis must not. */
function rising(values: number[]): number[] {
  let top = Number.NEGATIVE_INFINITY;
  return values.map((value) => {
    top = Math.max(top, value);
    return top;
  });
}

/** Mean and sample deviation of plain numbers, for the summary; null for none. */
export function meanStd(values: readonly number[]): { mean: number; std: number; n: number } | null {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return null;
  const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
  const squares = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: finite.length > 1 ? Math.sqrt(squares / (finite.length - 1)) : 0, n: finite.length };
}
