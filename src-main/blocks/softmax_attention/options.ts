// The options of softmax attention and the sizes that follow from them.
import { bool, float, int, type ValuesOf } from '../../spec/options';
import { positionOptions } from '../parts/position_options';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Query heads H.' }),
  kvHeads: int(0, {
    title: 'KV heads',
    min: 0,
    max: 256,
    help: 'Key and value heads Hk; must divide the heads. 1 is multi-query, 0 means as many as query heads.',
    paper: 'https://arxiv.org/abs/2305.13245',
  }),
  headDim: int(0, { min: 0, max: 4096, help: 'Channels of a head; 0 means width / heads.' }),
  ...positionOptions,
  alibi: bool(false, {
    title: 'ALiBi',
    help: 'Scores fall with distance, each head at its own pace; in place of RoPE.',
    paper: 'https://arxiv.org/abs/2108.12409',
  }),
  window: int(0, {
    min: 0,
    max: 1_048_576,
    help: 'Sees only so many tokens, its own included; 0 sees all. Without causality as many after it.',
    paper: 'https://arxiv.org/abs/2004.05150',
  }),
  sinks: bool(false, {
    help: 'A learned score a head that takes a share of the softmax and holds no value, so that a head may rest.',
    paper: 'https://arxiv.org/abs/2309.17453',
  }),
  softCap: float(0, {
    min: 0,
    max: 10_000,
    help: 'Bends scores so that none exceeds it: cap · tanh(score / cap); 0 leaves them straight. Gemma 2 takes 50.',
    paper: 'https://arxiv.org/abs/2408.00118',
  }),
  qkNorm: bool(false, { title: 'QK norm', help: 'RMS-normalises every query and key head before the rotation.' }),
  normEps: float(1e-6, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the query and key norms.' }),
  qkvBias: bool(false, { title: 'QKV bias', help: 'Adds biases to queries, keys and values.' }),
  adaptiveTemperature: bool(false, {
    help: 'Sharpens flat attention rows from their own entropy, in evaluation and decoding only.',
    paper: 'https://arxiv.org/abs/2410.01104',
  }),
};
export type AttentionOptions = ValuesOf<typeof options>;

/** Query heads H, key heads Hk and head width d, with the zeros of the options resolved. */
export function sizes({ heads, kvHeads, headDim }: AttentionOptions, width: number) {
  return { H: heads, Hk: kvHeads || heads, d: headDim || Math.floor(width / heads) };
}
