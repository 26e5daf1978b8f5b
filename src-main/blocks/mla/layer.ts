// Multi-head latent attention: keys and values rebuilt for a whole sequence, and absorbed decoding from the cache of latents.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { append } from '../parts/decoding';
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

  step(x, w, state, context) {
    const [B, , D] = x.shape;
    const of = latentOf(context.options, D);
    let kept: Tensor | undefined; // [B, n, r]
    const { y, cache } = step(x, grouped(w, of), of, context, {
      c(row) {
        const cache = append(context, 'c_kv', state.c_kv, tf.reshape(row, [B, 1, of.r]));
        kept = cache.rows;
        return { ...cache, rows: tf.expandDims(cache.rows, 1) };
      },
      shared: (row) => append(context, 'k_rope', state.k_rope, row),
    });
    return { y, state: { c_kv: kept!, k_rope: cache.shared.rows } };
  },
};
