// The options of the matrix mixer and the sizes that follow from them.
import type { Problem } from '../../spec/error';
import { bool, choice, float, int, type ValuesOf } from '../../spec/options';

export const options = {
  structure: choice('quasiseparable', {
    choices: ['dense', 'toeplitz', 'vandermonde', 'cauchy', 'low_rank', 'attention', 'quasiseparable'],
    help: 'Structure of the matrix that mixes the tokens.',
  }),
  dataDependent: bool(true, {
    title: 'data-dependent',
    help: 'The tokens make the matrix, each its own row and column; off, the matrix is learned once for all positions.',
  }),
  qkDim: int(16, {
    title: 'map width',
    min: 1,
    max: 1024,
    help: 'Channels d of the row and column maps, a head; the paper takes 16, or 64 where the data do not make them.',
  }),
  maxSeqLen: int(256, {
    title: 'longest sequence',
    min: 1,
    max: 16_384,
    help: 'Length L that the matrix is made and scaled for; longer sequences fit only where the data make it.',
  }),
  dConv: int(7, {
    title: 'convolution taps',
    min: 1,
    max: 15,
    step: 2,
    help: 'Taps K of the short centred convolution; odd, so that it looks as far ahead as back.',
  }),
  expand: int(2, { min: 1, max: 8, help: 'Inner width as a multiple of the model width.' }),
  headDim: int(128, { min: 1, max: 1024, help: 'Channels P of a head; divides the inner width.' }),
  toeplitzIndex: choice('aligned', {
    title: 'Toeplitz index',
    choices: ['aligned', 'reference'],
    help: 'Of a Toeplitz matrix: aligned is the published index, reference the released code’s, one place off.',
  }),
  vandermondeKind: choice('dft', {
    title: 'Vandermonde kind',
    choices: ['dft', 'learned'],
    help: 'Of a Vandermonde matrix that the data do not make: the fixed cosine transform, or learned frequencies.',
  }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the gated norm.' }),
};
export type MatrixMixerOptions = ValuesOf<typeof options>;

/** A matrix that the data do not make is learned for so many positions. */
export function tooLong({ dataDependent, maxSeqLen }: MatrixMixerOptions, tokens: number, path: string): Problem[] {
  if (dataDependent || tokens <= maxSeqLen) return [];
  const message = `${tokens} tokens do not fit a matrix that is learned for ${maxSeqLen} positions`;
  const hint = `set maxSeqLen to ${tokens}, give shorter sequences, or let the data make the matrix`;
  return [{ path: `${path}.maxSeqLen`, message, hint, fix: tokens }];
}

/**
 * Inner width, heads H of width P, map width d, taps K, length L; channels of the convolution beside the values (`maps`), raw step sizes beside
 * them (`steps`), and columns of the input projection: z, values, maps, steps.
 */
export function sizes(o: MatrixMixerOptions, width: number) {
  const { expand, headDim: P, qkDim: d, dConv: K, maxSeqLen: L, structure, dataDependent } = o;
  const inner = expand * width;
  const H = Math.floor(inner / P);
  const maps = !dataDependent || structure === 'dense' ? 0 : structure === 'toeplitz' ? 2 * H : 2 * H * d;
  const steps = dataDependent && structure === 'quasiseparable' ? 2 * H : 0;
  const conv = inner + maps;
  return { inner, H, P, d, K, L, maps, steps, conv, columns: inner + conv + steps };
}
