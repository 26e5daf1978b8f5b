// Grouped latent attention: keys and values rebuilt for a whole sequence, and absorbed decoding from the cache of latents.
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Layer } from '../define';
import { forward, step } from '../parts/latent';
import { type GlaOptions, latentOf } from './options';

export const layer: Layer<GlaOptions> = {
  forward: (x, w, { options, extra }) => forward(x, w, latentOf(options, x.shape[2]), extra),

  begin: () => ({}),

  step(x, w, state, { options, position }) {
    const cache = { c: state.c_kv as Tensor4D | undefined, shared: state.k_rope as Tensor3D | undefined };
    const { y, cache: grown } = step(x, w, cache, position, latentOf(options, x.shape[2]));
    return { y, state: { c_kv: grown.c, k_rope: grown.shared } };
  },
};
