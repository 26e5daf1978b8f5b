// Sums over channels between all pairs of tokens, of waves and of reciprocals: what Vandermonde and Cauchy matrices are made of.
import { defineKernel, type Kernel, type Shapes } from '../core/kernel';

const ints = ({ turns, rows }: Shapes) => [...(turns ?? rows)]; // n, T, d

/** turns [n, T, d] of each token and channel to Σ_c sin²(π turns[n, i, c] j) as [n, T, T] by row i and column j; exact in whole turns. */
export const waveSums = defineKernel({
  name: 'WaveSums',
  inputs: ['turns'],
  outputs: ({ turns: [n, T] }) => ({ sums: [n, T, T] }),
  ints,
  refuses: ({ turns }) => (turns.length === 3 ? undefined : `turns must be [n, tokens, channels], not [${turns}]`),
  gradient: { kernel: 'WaveSumsGrad', inputs: ['turns'], outputs: [], cotangents: ['sums'], of: ['turns'] },
});
export const waveSumsGrad = defineKernel({
  name: 'WaveSumsGrad',
  inputs: ['turns', 'dsums'],
  outputs: ({ turns }) => ({ dturns: turns }),
  ints,
});

/** Positive rows and columns [n, T, d] to Σ_c 1 / (rows[n, i, c] + columns[n, j, c]) as [n, T, T] by row i and column j. */
export const reciprocalSums = defineKernel({
  name: 'ReciprocalSums',
  inputs: ['rows', 'columns'],
  outputs: ({ rows: [n, T] }) => ({ sums: [n, T, T] }),
  ints,
  refuses({ rows, columns }) {
    if (rows.length !== 3) return `rows must be [n, tokens, channels], not [${rows}]`;
    return String(rows) === String(columns) ? undefined : `columns [${columns}] must have the shape of rows [${rows}]`;
  },
  gradient: {
    kernel: 'ReciprocalSumsGrad',
    inputs: ['rows', 'columns'],
    outputs: [],
    cotangents: ['sums'],
    of: ['rows', 'columns'],
  },
});
export const reciprocalSumsGrad = defineKernel({
  name: 'ReciprocalSumsGrad',
  inputs: ['rows', 'columns', 'dsums'],
  outputs: ({ rows }) => ({ drows: rows, dcolumns: rows }),
  ints,
});

export const kernels: Kernel[] = [waveSums, waveSumsGrad, reciprocalSums, reciprocalSumsGrad];
