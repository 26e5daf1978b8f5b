// The options of gated linear attention and the sizes that follow from them.
import { bool, float, int, type ValuesOf } from '../../spec/options';

/** Log decays below this are 0 as factors in float32 ten times over: the bound that binds nothing. */
export const FREE = -1000;

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
    help: 'Channels of a key head; the state grows with it. 0 means half of width / heads, as in the paper.',
  }),
  valueDim: int(0, { min: 0, max: 1024, help: 'Channels of a value head; 0 means width / heads.' }),
  gateRank: int(16, { min: 1, max: 4096, help: 'Rank R of the projection that makes the decays.' }),
  gateNormalizer: float(16, {
    title: 'gate divisor',
    min: 0.01,
    max: 1000,
    log: true,
    help: 'Divides the log decays: with 16 a new model remembers for about 16 tokens, with 1 for one.',
  }),
  gateClampMin: float(FREE, {
    title: 'gate floor',
    min: FREE,
    max: 0,
    help: 'Log decays are at least this, so no channel forgets faster; -1000 leaves them free.',
  }),
  outputGate: bool(true, { help: 'Multiplies the normed output with SiLU of a projection of the input.' }),
  convSize: int(0, {
    title: 'convolution taps',
    min: 0,
    max: 16,
    help: 'Taps of a short causal convolution with SiLU on queries, keys and values; 0 leaves it out, 4 is usual.',
  }),
  convBias: bool(false, { help: 'Bias in the convolution.' }),
  scale: float(0, { min: 0, max: 1000, help: 'Factor on the queries; 0 means 1/√keyDim.' }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the norm of each head.' }),
};
export type GatedLinearAttentionOptions = ValuesOf<typeof options>;

/** Query heads H, key heads Hk, key width d, value width e, rank R, taps K and the queries' factor, with the zeros of the options resolved. */
export function sizes(o: GatedLinearAttentionOptions, width: number) {
  const { heads: H, kvHeads, keyDim, valueDim, gateRank: R, convSize: K, scale } = o;
  const d = keyDim || Math.floor(width / (2 * H));
  const e = valueDim || Math.floor(width / H);
  return { H, Hk: kvHeads || H, d, e, R, K, scale: scale || 1 / Math.sqrt(d) };
}
/** The projections that are convolved, with their channels. */
export const branches = ({ H, Hk, d, e }: ReturnType<typeof sizes>) => ({ q: H * d, k: Hk * d, v: Hk * e });
