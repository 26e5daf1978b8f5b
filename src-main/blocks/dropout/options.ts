// The option of dropout.
import { float, type ValuesOf } from '../../spec/options';

export const options = {
  rate: float(0.1, { min: 0, max: 0.95, help: 'Share of the numbers that a training step sets to zero.' }),
};
export type DropoutOptions = ValuesOf<typeof options>;
