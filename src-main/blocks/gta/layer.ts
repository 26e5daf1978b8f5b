// Projections around tied attention: the whole sequence at once, and token by token from a cache of tied states.
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { append, rotaryNow, turnNow } from '../parts/decoding';
import { attendDecoupled } from '../parts/decoupled';
import { linear, linears } from '../parts/linear';
import { rotaryTables } from '../parts/rotary';
import { type GtaOptions, sizes } from './options';
import { attendTiedCached } from './reference';

/** Queries [B, T, H, d] and rotary key [B, T, dR], neither turned, and tied states [B, T, Hk, d], which never turn. */
function project(x: Tensor3D, w: Weights, options: GtaOptions) {
  const [B, T, D] = x.shape;
  const { H, Hk, d } = sizes(options, D);
  const [q, kv, shared] = linears(x, [w.w_q, w.w_kv, w.w_kr], [undefined, undefined, w.b_kr]);
  return {
    q: tf.reshape(q, [B, T, H, d]) as Tensor4D,
    kv: tf.reshape(kv, [B, T, Hk, d]) as Tensor4D,
    shared: shared as Tensor3D,
  };
}
const rotary = ({ ropeTheta: theta, ropeFraction: fraction }: GtaOptions) => ({ theta, fraction });

export const layer: Layer<GtaOptions> = {
  forward(x, w, { options, extra }) {
    const [B, T, D] = x.shape;
    const { d, dR } = sizes(options, D);
    const heads = { ...project(x, w, options), ...rotaryTables(0, T, dR, rotary(options)) };
    const o = attendDecoupled(heads, { causal: options.causal, scale: 1 / Math.sqrt(d), valueAt: 0 }, extra);
    return linear(tf.reshape(o, [B, T, -1]), w.w_o) as Tensor3D;
  },

  begin: () => ({}),

  step(x, w, state, context) {
    const { options } = context;
    const [B, , D] = x.shape;
    const { H, Hk, d, dR } = sizes(options, D);
    const { q, kv, shared } = project(x, w, options);
    const tables = rotaryNow(context, dR, rotary(options));
    const turned = turnNow(tf.reshape(shared, [B, 1, 1, dR]) as Tensor4D, dR, tables);
    const kvCache = append(context, 'kv_cache', state.kv_cache, tf.reshape(kv, [B, Hk, 1, d]));
    const shareds = append(context, 'k_rope', state.k_rope, tf.reshape(turned, [B, 1, dR]));
    const query = tf.reshape(turnNow(q, dR, tables), [B, H, d]) as Tensor3D;
    const o = attendTiedCached(query, { s: kvCache, shared: shareds }, 1 / Math.sqrt(d));
    const next = { kv_cache: kvCache.rows, k_rope: shareds.rows };
    return { y: linear(tf.reshape(o, [B, 1, H * d]), w.w_o) as Tensor3D, state: next };
  },
};
