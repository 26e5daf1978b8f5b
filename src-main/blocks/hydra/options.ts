// The options of Hydra and the sizes that follow from them.
import { bool, choice, float, int, interval, type ValuesOf } from '../../spec/options';

export const options = {
  dState: int(64, { title: 'state width', min: 1, max: 1024, help: 'State width N of a head, in each direction.' }),
  dConv: int(7, {
    title: 'convolution taps',
    min: 1,
    max: 15,
    step: 2,
    help: 'Taps K of the short centred convolution; odd, so that it looks as far ahead as back.',
  }),
  expand: int(2, { min: 1, max: 8, help: 'Inner width as a multiple of the model width.' }),
  headDim: int(64, { min: 1, max: 1024, help: 'Channels P of a head; divides the inner width.' }),
  groups: int(1, { min: 1, max: 256, help: 'Groups G of heads that share input and output maps; divides the heads.' }),
  read: choice('neighbour', {
    choices: ['neighbour', 'own'],
    help: 'Whose output map reads the state before a token: its neighbour’s, as in the released code, or its own, as published.',
  }),
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
export type HydraOptions = ValuesOf<typeof options>;

/** Inner width, heads H of width P, groups G, state N, taps K, channels of the convolution, columns of the input projection. */
export function sizes({ expand, headDim: P, groups: G, dState: N, dConv: K }: HydraOptions, width: number) {
  const inner = expand * width;
  const H = Math.floor(inner / P);
  const conv = inner + 4 * G * N;
  return { inner, H, P, G, N, K, conv, columns: inner + conv + 2 * H };
}
