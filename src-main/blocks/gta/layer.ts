// Projections around tied attention: the whole sequence at once, and token by token from a cache of tied states.
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { append, rotaryNow } from '../parts/decoding';
import { type Tables, turnTail } from '../parts/decoupled';
import { linear } from '../parts/linear';
import { rotaryTables } from '../parts/rotary';
import { type GtaOptions, sizes } from './options';
import { attendTied, attendTiedCached } from './reference';

const rotary = ({ ropeTheta: theta, ropeFraction: fraction }: GtaOptions) => ({ theta, fraction });

/** Queries [B, T, H, d] and rotary key [B, T, 1, dR], both turned, and tied states [B, T, Hk, d], which never turn. */
function project(x: Tensor3D, w: Weights, options: GtaOptions, tables: Tables) {
  const [B, T, D] = x.shape;
  const { H, Hk, d, dR } = sizes(options, D);
  return {
    q: turnTail(tf.reshape(linear(x, w.w_q), [B, T, H, d]) as Tensor4D, dR, tables),
    s: tf.reshape(linear(x, w.w_kv), [B, T, Hk, d]) as Tensor4D,
    shared: turnTail(tf.reshape(linear(x, w.w_kr, w.b_kr), [B, T, 1, dR]) as Tensor4D, dR, tables),
    scale: 1 / Math.sqrt(d),
  };
}

export const layer: Layer<GtaOptions> = {
  forward(x, w, { options, extra }) {
    const [B, T, D] = x.shape;
    const tables = rotaryTables(0, T, sizes(options, D).dR, rotary(options));
    const { scale, ...heads } = project(x, w, options, tables);
    const o = attendTied(heads, { causal: options.causal, scale }, extra);
    return linear(tf.reshape(o, [B, T, -1]), w.w_o) as Tensor3D;
  },

  begin: () => ({}),

  step(x, w, state, context) {
    const { options } = context;
    const [B, , D] = x.shape;
    const { H, Hk, d, dR } = sizes(options, D);
    const { q, s, shared, scale } = project(x, w, options, rotaryNow(context, dR, rotary(options)));
    const kv = append(context, 'kv_cache', state.kv_cache, tf.reshape(s, [B, Hk, 1, d]));
    const turned = append(context, 'k_rope', state.k_rope, tf.reshape(shared, [B, 1, dR]));
    const o = attendTiedCached(tf.reshape(q, [B, H, d]) as Tensor3D, { s: kv, shared: turned }, scale);
    const next = { kv_cache: kv.rows, k_rope: turned.rows };
    return { y: linear(tf.reshape(o, [B, 1, H * d]), w.w_o) as Tensor3D, state: next };
  },
};
