// The options of RWKV-4's time mixing.
import { int, type ValuesOf } from '../../spec/options';
import { depthOptions } from '../parts/place';

export const options = {
  inner: int(0, { min: 0, help: 'Channels A of keys, values and receptance; 0 means the width.' }),
  ...depthOptions('decays and token shifts at the start'),
};
export type Rwkv4Options = ValuesOf<typeof options>;
