// The options of Mamba-2 and the sizes that follow from them.
import { bool, float, int, interval, type ValuesOf } from '../../spec/options';

export const options = {
  dState: int(64, {
    title: 'state width',
    min: 1,
    max: 1024,
    help: 'State width N of a head; recall grows with it. The paper’s models use 128.',
  }),
  dConv: int(4, { title: 'convolution taps', min: 1, max: 16, help: 'Taps K of the short causal convolution.' }),
  expand: int(2, { min: 1, max: 8, help: 'Inner width as a multiple of the model width.' }),
  headDim: int(64, { min: 1, max: 1024, help: 'Channels P of a head; divides the inner width.' }),
  groups: int(1, { min: 1, max: 256, help: 'Groups G of heads that share input and output maps; divides the heads.' }),
  normBeforeGate: bool(false, { help: 'Normalises before the gate is applied instead of after.' }),
  bias: bool(false, { help: 'Biases on the input and output projections.' }),
  convBias: bool(true, { help: 'Bias in the convolution.' }),
  dtLimit: interval(null, {
    title: 'step size limits',
    min: 0,
    max: 1000,
    help: 'Clamps the step sizes to [low, high]; null leaves them free.',
  }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the gated norm.' }),
};
export type Mamba2Options = ValuesOf<typeof options>;

/** Inner width, heads H of width P, groups G, state N, taps K, channels of the convolution, columns of the input projection. */
export function sizes({ expand, headDim: P, groups: G, dState: N, dConv: K }: Mamba2Options, width: number) {
  const inner = expand * width;
  const H = Math.floor(inner / P);
  const conv = inner + 2 * G * N;
  return { inner, H, P, G, N, K, conv, columns: inner + conv + H };
}
