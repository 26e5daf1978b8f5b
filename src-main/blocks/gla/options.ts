// The options of grouped latent attention and the sizes that follow from them.
import { bool, float, int, type ValuesOf } from '../../spec/options';
import type { Latent } from '../parts/latent';
import { positionOptions } from '../parts/position_options';
import { roundUp } from '../parts/sizes';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Query heads H.' }),
  latentHeads: int(2, {
    min: 1,
    max: 256,
    help: 'Latent heads G, each for its own neighbouring query heads; must divide the heads. 1 is multi-head latent attention.',
  }),
  headDim: int(0, {
    min: 0,
    max: 4096,
    help: 'Channels of a value head, and of a query and key head without the rotary ones; 0 means width / heads.',
  }),
  latentDim: int(0, { min: 0, max: 16_384, help: 'Width of one latent head; 0 means 2 × headDim.' }),
  ropeDim: int(0, {
    title: 'RoPE dim',
    min: 0,
    max: 4096,
    step: 2,
    help: 'Channels of the rotary key that all heads share, an even number; 0 means half of headDim.',
  }),
  queryRank: int(0, {
    min: 0,
    max: 16_384,
    help: 'Width of the latent that queries are made from; 0 projects them directly. The published code takes 8 × headDim.',
  }),
  projBias: bool(false, { help: 'Adds biases to all projections but the output, as the published code does.' }),
  ...positionOptions,
  normEps: float(1e-6, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the norms of the latents.' }),
};
export type GlaOptions = ValuesOf<typeof options>;

/** Everything that the computation reads, with the zeros of the options resolved. */
export function latentOf(o: GlaOptions, width: number): Latent {
  const d = o.headDim || Math.floor(width / o.heads);
  return {
    H: o.heads,
    G: o.latentHeads,
    r: o.latentDim || 2 * d,
    rq: o.queryRank,
    dN: d,
    dR: o.ropeDim || roundUp(d / 2, 2),
    dV: d,
    causal: o.causal,
    rotary: { theta: o.ropeTheta, fraction: o.ropeFraction },
    epsilon: o.normEps,
  };
}
