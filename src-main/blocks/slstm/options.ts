// The options of the sLSTM block.
import { choice, float, int, type ValuesOf } from '../../spec/options';
import { depthOptions } from '../parts/place';

export const options = {
  heads: int(4, { min: 1, max: 256, help: 'Heads H; they divide the width, and only channels of one head mix.' }),
  convSize: int(4, { min: 1, max: 16, help: 'Taps K of the short causal convolution before input and forget gates.' }),
  recurrentInit: choice('zeros', {
    choices: ['zeros', 'uniform'],
    help: 'Recurrent weights at the start: none, or uniform up to 1/√D.',
  }),
  forgetInit: choice('power', {
    choices: ['power', 'ramp'],
    help: 'Forget biases within a head at the start: from 5 down to −7 by a power that grows with depth, or from 3 to 6.',
  }),
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the variance in the norm of each head.' }),
  ...depthOptions('the forget gate at the start'),
};
export type SlstmOptions = ValuesOf<typeof options>;
