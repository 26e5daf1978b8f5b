// Each token by itself: decoding is the forward pass of one token, and there is no state.
import type { Layer } from '../define';
import { gatedMlp } from './fused';
import type { GatedMlpOptions } from './options';

export const layer: Layer<GatedMlpOptions> = {
  forward: (x, w, { options }) => gatedMlp(x, w, options.activation),
  begin: () => ({}),
  step: (x, w, state, { options }) => ({ y: gatedMlp(x, w, options.activation), state }),
};
