// Waves and reciprocals between all pairs of tokens as float64 loops.
import type { Plain, Shape } from '../core/kernel';

/** Calls `visit` for each matrix, row, column and channel with the places of (row, channel), (column, channel) and (row, column). */
function each([n, T, d]: Shape, visit: (at: { row: number; column: number; pair: number; j: number }) => void): void {
  for (let m = 0; m < n; m++)
    for (let i = 0; i < T; i++)
      for (let j = 0; j < T; j++)
        for (let c = 0; c < d; c++)
          visit({ row: (m * T + i) * d + c, column: (m * T + j) * d + c, pair: (m * T + i) * T + j, j });
}

export const plain: Record<string, Plain> = {
  WaveSums({ turns }, shapes) {
    const [n, T] = shapes.turns;
    const sums = new Float64Array(n * T * T);
    each(shapes.turns, ({ row, pair, j }) => {
      sums[pair] += Math.sin(Math.PI * ((turns[row] * j) % 1)) ** 2;
    });
    return { sums };
  },
  WaveSumsGrad({ turns, dsums }, shapes) {
    const dturns = new Float64Array(turns.length);
    each(shapes.turns, ({ row, pair, j }) => {
      dturns[row] += dsums[pair] * Math.PI * j * Math.sin(2 * Math.PI * ((turns[row] * j) % 1));
    });
    return { dturns };
  },
  ReciprocalSums({ rows, columns }, shapes) {
    const [n, T] = shapes.rows;
    const sums = new Float64Array(n * T * T);
    each(shapes.rows, ({ row, column, pair }) => {
      sums[pair] += 1 / (rows[row] + columns[column]);
    });
    return { sums };
  },
  ReciprocalSumsGrad({ rows, columns, dsums }, shapes) {
    const drows = new Float64Array(rows.length);
    const dcolumns = new Float64Array(rows.length);
    each(shapes.rows, ({ row, column, pair }) => {
      const fall = -dsums[pair] / (rows[row] + columns[column]) ** 2;
      drows[row] += fall;
      dcolumns[column] += fall;
    });
    return { drows, dcolumns };
  },
};
