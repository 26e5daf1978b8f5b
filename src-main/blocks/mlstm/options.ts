// The options of the mLSTM block and the sizes that follow from them.
import { bool, choice, float, int, type ValuesOf } from '../../spec/options';
import { depthOptions } from '../parts/place';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Heads H; they divide the inner width.' }),
  inner: int(0, { min: 0, help: 'Inner width E of the memory and of the output gate; 0 means twice the width.' }),
  convSize: int(4, { min: 1, max: 16, help: 'Taps K of the short causal convolution before queries and keys.' }),
  blockSize: int(4, {
    min: 1,
    max: 4096,
    help: 'Neighbouring channels that queries, keys and values mix; divides the inner width.',
  }),
  forgetGate: choice('sigmoid', {
    choices: ['sigmoid', 'exp'],
    help: 'Forget gate of a preactivation f: sigmoid(f), or exp(f).',
  }),
  bias: bool(false, { help: 'Biases on all projections; the gates have theirs in any case.' }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the variance in the norm of each head.' }),
  eps: float(1e-6, { min: 0, max: 0.1, log: true, help: 'Added to the denominator of the memory’s output.' }),
  ...depthOptions('the size of the output projection at the start'),
};
export type MlstmOptions = ValuesOf<typeof options>;

/** Inner width E, heads H of d channels, taps K, projection blocks of S channels. */
export function sizes({ heads: H, inner, convSize: K, blockSize: S }: MlstmOptions, width: number) {
  const E = inner || 2 * width;
  return { E, H, d: Math.floor(E / H), K, S };
}
