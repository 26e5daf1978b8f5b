// For tests: sums between all pairs of tokens of given sizes, as the native kernels and the shaders are compared with the plain loops.
import { draw } from '../core/testing';
import { reciprocalSums, reciprocalSumsGrad, waveSums, waveSumsGrad } from './kernel';
import { plain } from './plain';

/** Matrices, tokens and channels; the most turns a step. */
export const waves = ([n, T, d]: number[], turns = 1) => ({
  forward: waveSums,
  gradient: waveSumsGrad,
  plain,
  shapes: { turns: [n, T, d] },
  inputs: { turns: draw(n * T * d, 3).map((u) => Math.fround(turns * u)) },
});
/** Positive numbers over three orders of magnitude. */
export const reciprocals = ([n, T, d]: number[]) => ({
  forward: reciprocalSums,
  gradient: reciprocalSumsGrad,
  plain,
  shapes: { rows: [n, T, d], columns: [n, T, d] },
  inputs: Object.fromEntries(
    ['rows', 'columns'].map((name, i) => [name, draw(n * T * d, i).map((u) => Math.fround(Math.exp(3 * u)))]),
  ),
});
