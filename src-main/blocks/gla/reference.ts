// The block by its sharding identity: attention is linear over groups of heads, so it is a sum of multi-head latent attentions, one a latent head.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Weights } from '../define';
import { mla } from '../mla/reference';
import { type GlaOptions, latentOf } from './options';

/** Row block g of G along an axis. */
function share(u: Tensor, axis: number, g: number, G: number): Tensor {
  const size = u.shape.map((n, i) => (i === axis ? n / G : n));
  return tf.slice(
    u,
    u.shape.map((_, i) => (i === axis ? g * size[i] : 0)),
    size,
  );
}

/** x [B, T, D] to [B, T, D], for options without biases. */
export function gla(x: Tensor3D, w: Weights, options: GlaOptions): Tensor3D {
  const [, , D] = x.shape;
  const { H, G, r, rq, dN, dR, dV } = latentOf(options, D);
  const { causal, ropeTheta, ropeFraction, normEps } = options;
  const sizes = { heads: H / G, kvRank: r, queryRank: rq, nopeDim: dN, ropeDim: dR, valueDim: dV };
  const parts = Array.from({ length: G }, (_, g) => {
    const own: Weights = {
      ...w,
      w_dkv: share(w.w_dkv, 1, g, G),
      kv_norm: tf.reshape(share(w.kv_norm, 0, g, G), [r]),
      w_ukv: tf.reshape(share(w.w_ukv, 0, g, G), [r, (H / G) * (dN + dV)]),
      w_o: share(w.w_o, 0, g, G),
    };
    const queries = rq > 0 ? 'w_uq' : 'w_q';
    own[queries] = share(w[queries], 1, g, G);
    return mla(x, own, { ...sizes, causal, ropeTheta, ropeFraction, normEps });
  });
  return parts.reduce((a, b) => tf.add(a, b) as Tensor3D);
}
