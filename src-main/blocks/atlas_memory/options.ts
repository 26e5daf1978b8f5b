// The options of the memory that learns while it reads.
import { choice, int, type ValuesOf } from '../../spec/options';

export const memoryOptions = {
  memory: choice('mlp', {
    choices: ['mlp', 'linear'],
    help: 'What is trained at test time: a two-layer network with a residual, or one matrix.',
  }),
  featureMap: choice('elementwise', {
    choices: ['none', 'elementwise', 'monomial'],
    help: 'Keys and queries as they are, as a polynomial of each channel, or as all products of up to `degree` channels.',
    paper: 'https://arxiv.org/abs/2505.23735',
  }),
  degree: int(2, { min: 1, max: 8, help: 'Degree p of the feature polynomial; products of channels go up to 2.' }),
  window: int(4, {
    min: 1,
    max: 1024,
    help: 'Past tokens c, with the current one, that each step learns from (Omega rule); 1 is Titans.',
  }),
  chunk: int(16, {
    min: 1,
    max: 1024,
    help: 'Tokens b whose inner gradients are taken at one anchor, the memory at their start; 1 is the exact online form, more is faster.',
  }),
  nsSteps: int(5, {
    min: 0,
    max: 20,
    help: 'Newton-Schulz steps that even out the singular values of each update (Muon); 0 for none.',
  }),
};
export type MemoryOptions = ValuesOf<typeof memoryOptions>;

/** Features F of a key or query of width d. */
export function featureWidth({ featureMap, degree }: Pick<MemoryOptions, 'featureMap' | 'degree'>, d: number): number {
  if (featureMap !== 'monomial') return d;
  return 1 + d + (degree > 1 ? (d * (d + 1)) / 2 : 0);
}

/** Number of polynomial coefficients. */
export const coefficients = ({ featureMap, degree }: Pick<MemoryOptions, 'featureMap' | 'degree'>): number =>
  ({ none: 0, elementwise: degree, monomial: degree + 1 })[featureMap];

/** Rows and columns of the memory's matrices: features F, hidden h, head width d. */
export const matrixSizes = (memory: MemoryOptions['memory'], F: number, h: number, d: number): [number, number][] =>
  memory === 'mlp'
    ? [
        [F, h],
        [h, d],
      ]
    : [[F, d]];
