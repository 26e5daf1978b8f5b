// The options of linear attention and the sizes that follow from them.
import { bool, choice, float, int, type ValuesOf } from '../../spec/options';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Query heads H.' }),
  kvHeads: int(0, {
    title: 'KV heads',
    min: 0,
    max: 256,
    help: 'Key and value heads Hk; must divide the heads. 0 means as many as query heads.',
  }),
  keyDim: int(0, {
    min: 0,
    max: 1024,
    help: 'Channels of a key head; the state grows with it. 0 means width / heads.',
  }),
  valueDim: int(0, { min: 0, max: 1024, help: 'Channels of a value head; 0 means width / heads.' }),
  featureMap: choice('elu1', {
    choices: ['elu1', 'identity'],
    help: 'What queries and keys pass through: elu1 is elu(u) + 1, which keeps them positive.',
    paper: 'https://arxiv.org/abs/2006.16236',
  }),
  normalize: bool(true, { help: 'Divides by the sum of the weights, as softmax does; wants positive features.' }),
  denomEps: float(1e-10, {
    title: 'denominator ε',
    min: 0,
    max: 1,
    log: true,
    help: 'Added to the sum of the weights.',
  }),
  scale: float(0, { min: 0, max: 1000, help: 'Factor on the queries after the feature map; 0 means 1/√keyDim.' }),
  outputNorm: choice('none', {
    choices: ['none', 'rmsnorm'],
    help: 'Norm over each head’s output. With it the division by the sum of weights changes almost nothing.',
  }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the output norm.' }),
};
export type LinearAttentionOptions = ValuesOf<typeof options>;

/** Query heads H, key heads Hk, key width d, value width e and the queries' factor, with the zeros of the options resolved. */
export function sizes({ heads, kvHeads, keyDim, valueDim, scale }: LinearAttentionOptions, width: number) {
  const d = keyDim || Math.floor(width / heads);
  return {
    H: heads,
    Hk: kvHeads || heads,
    d,
    e: valueDim || Math.floor(width / heads),
    scale: scale || 1 / Math.sqrt(d),
  };
}
