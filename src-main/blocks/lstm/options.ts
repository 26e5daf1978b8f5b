// The options of the LSTM.
import { float, type ValuesOf } from '../../spec/options';
import { recurrentOptions } from '../parts/recurrent';

export const options = {
  ...recurrentOptions,
  forgetBias: float(1, {
    min: -10,
    max: 10,
    help: 'Added to the starting bias of the forget gate, so that fresh cells remember; 0 is PyTorch’s start.',
    paper: 'https://arxiv.org/abs/1503.04069',
  }),
};
export type LstmOptions = ValuesOf<typeof options>;
