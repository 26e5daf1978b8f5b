// The options of the short convolution.
import { bool, choice, int, type ValuesOf } from '../../spec/options';
import { activations } from '../parts/activation';

export const options = {
  size: int(4, { min: 1, max: 64, help: 'Taps K: each channel sees the current token and the K − 1 before it.' }),
  activation: choice('silu', { choices: activations, help: 'After the convolution; relu2 is the squared ReLU.' }),
  bias: bool(true, { help: 'A bias for each channel.' }),
};
export type CausalConvOptions = ValuesOf<typeof options>;
