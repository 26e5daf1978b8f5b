// Grouped latent attention: keys and values rebuilt for a whole sequence, and absorbed decoding from the cache of latents.
import type { Layer } from '../define';
import { append } from '../parts/decoding';
import { forward, step } from '../parts/latent';
import { type GlaOptions, latentOf } from './options';

export const layer: Layer<GlaOptions> = {
  forward: (x, w, { options, extra }) => forward(x, w, latentOf(options, x.shape[2]), extra),

  begin: () => ({}),

  step(x, w, state, context) {
    const { y, cache } = step(x, w, latentOf(context.options, x.shape[2]), context, {
      c: (row) => append(context, 'c_kv', state.c_kv, row),
      shared: (row) => append(context, 'k_rope', state.k_rope, row),
    });
    return { y, state: { c_kv: cache.c.rows, k_rope: cache.shared.rows } };
  },
};
