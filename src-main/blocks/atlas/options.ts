// The options of the atlas layer and the sizes that follow from them.
import { choice, float, int, type ValuesOf } from '../../spec/options';
import { featureWidth, memoryOptions } from '../atlas_memory/options';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Memories H side by side, trained apart.' }),
  headDim: int(16, { min: 0, max: 1024, help: 'Width d of a key, query and value; 0 means width / heads.' }),
  ...memoryOptions,
  hidden: int(0, { min: 0, max: 4096, help: 'Hidden width h of an MLP memory; 0 means twice the head width.' }),
  start: choice('flat', {
    choices: ['flat', 'taylor'],
    help: 'Starting polynomial: flat has 0 for the constant and 1 for the rest, taylor those of the exponential, as in the paper.',
  }),
  convSize: int(4, {
    title: 'convolution taps',
    min: 0,
    max: 16,
    help: 'Taps K of the short convolutions on queries, keys and values; 0 for none.',
  }),
  etaMax: float(0.1, {
    title: 'largest η',
    min: 1e-6,
    max: 10,
    log: true,
    help: 'Greatest step size of the memory; 0.05 to 0.2 suits orthogonalised steps.',
  }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the norm of each head.' }),
  l2Eps: float(1e-6, {
    title: 'L2 ε',
    min: 0,
    max: 0.1,
    log: true,
    help: 'Added to the squared length of queries and keys before they are divided by it.',
  }),
};
export type AtlasOptions = ValuesOf<typeof options>;

/** Heads H of width d, channels of all heads, features F, hidden width h, taps K. */
export function sizes(o: AtlasOptions, width: number) {
  const d = o.headDim || Math.floor(width / o.heads);
  return { H: o.heads, d, inner: o.heads * d, F: featureWidth(o, d), h: o.hidden || 2 * d, K: o.convSize };
}
