// In a training step numbers are dropped; in evaluation and decoding the stream passes as it is.
import type { Layer } from '../define';
import { dropped } from '../parts/dropout';
import type { DropoutOptions } from './options';

export const layer: Layer<DropoutOptions> = {
  // A tensor of its own, as every layer gives, also where nothing is dropped.
  forward: (x, _, { options, chance }) => (chance && options.rate > 0 ? dropped(x, options.rate, chance) : x.clone()),
  begin: () => ({}),
  step: (x, _, state) => ({ y: x.clone(), state }),
};
