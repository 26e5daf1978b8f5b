// The options of the plain MLP and its hidden width.
import { bool, choice, float, int, type ValuesOf } from '../../spec/options';
import { activations } from '../parts/activation';
import { roundUp } from '../parts/sizes';

export const options = {
  activation: choice('gelu', { choices: activations, help: 'Between the two projections; relu2 is the squared ReLU.' }),
  multiple: float(4, { min: 0.1, max: 32, help: 'Hidden width as a multiple of the model width, rounded up.' }),
  hidden: int(0, { min: 0, max: 262_144, help: 'Hidden width as a number; 0 takes the multiple.' }),
  roundTo: int(1, { min: 1, max: 1024, help: 'The hidden width by multiple is rounded up to a multiple of this.' }),
  bias: bool(false, { help: 'Biases on both projections.' }),
};
export type MlpOptions = ValuesOf<typeof options>;

/** Hidden width F. */
export const hiddenWidth = ({ hidden, multiple, roundTo }: MlpOptions, width: number): number =>
  hidden || roundUp(multiple * width, roundTo);
