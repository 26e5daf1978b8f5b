// Multi-head latent attention: keys and values rebuilt for a whole sequence, and absorbed decoding from the cache of latents.
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { forward, type Latent, step } from '../parts/latent';
import { latentOf, type MlaOptions } from './options';

/** One latent head for all query heads: kv_norm [r] as [1, r], w_ukv [r, H·(dN+dV)] as [1, r, H·(dN+dV)]. */
const grouped = (w: Weights, { r }: Latent): Weights => ({
  ...w,
  kv_norm: tf.reshape(w.kv_norm, [1, r]),
  w_ukv: tf.reshape(w.w_ukv, [1, r, -1]),
});

export const layer: Layer<MlaOptions> = {
  forward(x, w, { options, extra }) {
    const of = latentOf(options, x.shape[2]);
    return forward(x, grouped(w, of), of, extra);
  },

  begin: () => ({}),

  step(x, w, state, { options, position }) {
    const [B, , D] = x.shape;
    const of = latentOf(options, D);
    const c = state.c_kv && (tf.expandDims(state.c_kv, 1) as Tensor4D); // [B, 1, n, r]
    const cache = { c, shared: state.k_rope as Tensor3D | undefined };
    const { y, cache: grown } = step(x, grouped(w, of), cache, position, of);
    return { y, state: { c_kv: tf.reshape(grown.c, [B, -1, of.r]), k_rope: grown.shared } };
  },
};
