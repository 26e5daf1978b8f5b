// The options of multi-head latent attention and the sizes that follow from them.
import { float, int, type ValuesOf } from '../../spec/options';
import type { Latent } from '../parts/latent';
import { positionOptions } from '../parts/position_options';
import { roundUp } from '../parts/sizes';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Heads H.' }),
  kvRank: int(0, {
    title: 'KV rank',
    min: 0,
    max: 16_384,
    help: 'Width of the latent that keys and values are rebuilt from; 0 means 4 × nopeDim.',
  }),
  queryRank: int(0, {
    min: 0,
    max: 16_384,
    help: 'Width of the latent that queries are made from; 0 projects them directly. The original takes 12 × nopeDim.',
  }),
  nopeDim: int(0, {
    title: 'NoPE dim',
    min: 0,
    max: 4096,
    help: 'Channels of a query and key head that never turn; 0 means width / heads.',
  }),
  ropeDim: int(0, {
    title: 'RoPE dim',
    min: 0,
    max: 4096,
    step: 2,
    help: 'Channels of the rotary key that all heads share, an even number; 0 means half of nopeDim.',
  }),
  valueDim: int(0, { min: 0, max: 4096, help: 'Channels of a value head; 0 means as many as nopeDim.' }),
  ...positionOptions,
  normEps: float(1e-6, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the norms of the latents.' }),
};
export type MlaOptions = ValuesOf<typeof options>;

/** Everything that the computation reads, with the zeros of the options resolved. */
export function latentOf(o: MlaOptions, width: number): Latent {
  const dN = o.nopeDim || Math.floor(width / o.heads);
  return {
    H: o.heads,
    G: 1,
    r: o.kvRank || 4 * dN,
    rq: o.queryRank,
    dN,
    dR: o.ropeDim || roundUp(dN / 2, 2),
    dV: o.valueDim || dN,
    causal: o.causal,
    rotary: { theta: o.ropeTheta, fraction: o.ropeFraction },
    epsilon: o.normEps,
  };
}
