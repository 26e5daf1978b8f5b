// Reductions along an axis as float64 loops.
import type { Plain } from '../core/kernel';
import { reduceAxis, reductions } from './kernel';

const REDUCE: Record<(typeof reductions)[number], (numbers: readonly number[]) => number> = {
  Sum: (numbers) => numbers.reduce((a, b) => a + b),
  Mean: (numbers) => numbers.reduce((a, b) => a + b) / numbers.length,
  Max: (numbers) => Math.max(...numbers),
  Min: (numbers) => Math.min(...numbers),
  Prod: (numbers) => numbers.reduce((a, b) => a * b),
};

export const plain: Record<string, Plain> = {
  ReduceAxis({ x }, shapes, attrs) {
    const [outer, n, inner, reduction] = reduceAxis.ints(shapes, attrs);
    const y = Float64Array.from({ length: outer * inner }, (_, i) => {
      const first = Math.floor(i / inner) * n * inner + (i % inner);
      return REDUCE[reductions[reduction]](Array.from({ length: n }, (_, p) => x[first + p * inner]));
    });
    return { y };
  },
};
