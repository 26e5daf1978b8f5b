// Each token by itself: decoding is the forward pass of one token, and there is no state.
import type { Layer } from '../define';
import { mlp } from './fused';
import type { MlpOptions } from './options';

export const layer: Layer<MlpOptions> = {
  forward: (x, w, { options }) => mlp(x, w, options.activation),
  begin: () => ({}),
  step: (x, w, state, { options }) => ({ y: mlp(x, w, options.activation), state }),
};
