// The options of grouped-tied attention and the sizes that follow from them.
import { bool, int, type ValuesOf } from '../../spec/options';
import { positionOptions } from '../parts/position_options';
import { roundUp } from '../parts/sizes';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Query heads H.' }),
  kvHeads: int(2, {
    title: 'KV heads',
    min: 0,
    max: 256,
    help: 'Tied key and value heads Hk; must divide the heads. 0 means as many as query heads.',
  }),
  headDim: int(0, { min: 0, max: 4096, help: 'Channels of a head; 0 means width / heads.' }),
  ropeDim: int(0, {
    title: 'RoPE dim',
    min: 0,
    max: 4096,
    step: 2,
    help: 'Channels of a head that turn, an even number below headDim; their key is shared by all heads. 0 means half of headDim.',
  }),
  ropeKeyBias: bool(false, {
    title: 'RoPE key bias',
    help: 'Adds a bias to the rotary key, as the published code does.',
  }),
  ...positionOptions,
};
export type GtaOptions = ValuesOf<typeof options>;

/** Query heads H, tied heads Hk, head width d and its rotary part dR, with the zeros of the options resolved. */
export function sizes({ heads, kvHeads, headDim, ropeDim }: GtaOptions, width: number) {
  const d = headDim || Math.floor(width / heads);
  return { H: heads, Hk: kvHeads || heads, d, dR: ropeDim || roundUp(d / 2, 2) };
}
