// Projections around linear attention: the whole sequence at once, and token by token from the sums so far.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { linear, linears } from '../parts/linear';
import { rmsNorm } from '../parts/norm';
import { outerStep } from '../parts/state_step';
import { attend, eluFeatures } from './fused';
import { type LinearAttentionOptions, sizes } from './options';

/** Features of queries [B, T, H, d], scaled, and of keys [B, T, Hk, d], and the values [B, T, Hk, e]. */
function project(x: Tensor3D, w: Weights, options: LinearAttentionOptions) {
  const [B, T, D] = x.shape;
  const { H, Hk, d, e, scale } = sizes(options, D);
  const feature = (u: Tensor, by = 1) => {
    if (options.featureMap === 'elu1') return eluFeatures(u, by);
    return by === 1 ? u : tf.mul(u, by);
  };
  const heads = (u: Tensor, count: number, width: number) => tf.reshape(u, [B, T, count, width]) as Tensor4D;
  const [q, k, v] = linears(x, [w.w_q, w.w_k, w.w_v]);
  return { q: heads(feature(q, scale), H, d), k: heads(feature(k), Hk, d), v: heads(v, Hk, e) };
}

/** o [B, T, H, e], undivided, and the sums of weights [B, T, H, 1] if it is to be divided by them, to the layer's output. */
function finish(o: Tensor, sums: Tensor | undefined, w: Weights, options: LinearAttentionOptions): Tensor3D {
  const [B, T, H, e] = o.shape as [number, number, number, number];
  const mean = sums ? tf.div(o, tf.add(sums, options.denomEps)) : o;
  const normed = options.outputNorm === 'rmsnorm' ? rmsNorm(mean, w.norm_w, options.normEps) : mean;
  return linear(tf.reshape(normed, [B, T, H * e]), w.w_o) as Tensor3D;
}

export const layer: Layer<LinearAttentionOptions> = {
  forward(x, w, { options }) {
    const { q, k, v } = project(x, w, options);
    if (!options.normalize) return finish(attend({ q, k, v }), undefined, w, options);
    // A channel of ones beside the values sums the weights.
    const [B, T, Hk, e] = v.shape;
    const both = attend({ q, k, v: tf.concat([v, tf.ones([B, T, Hk, 1])], 3) as Tensor4D });
    const [o, sums] = tf.split(both, [e, 1], 3);
    return finish(o, sums, w, options);
  },

  begin(batch, width, options): State {
    const { Hk, d, e } = sizes(options, width);
    const kv = tf.zeros([batch, Hk, d, e]);
    return options.normalize ? { kv, z: tf.zeros([batch, Hk, d]) } : { kv };
  },

  step(x, w, state, context) {
    const { options } = context;
    const [B] = x.shape;
    const { q, k, v } = project(x, w, options);
    const [, , H, d] = q.shape;
    const [, , Hk, e] = v.shape;
    const token = { q: tf.reshape(q, [B, H, d]), k: tf.reshape(k, [B, Hk, d]), v: tf.reshape(v, [B, Hk, e]) };
    const { y, s: kv } = outerStep(context, { s: state.kv, ...token });
    const whole = tf.reshape(y, [B, 1, H, e]);
    if (!options.normalize) return { y: finish(whole, undefined, w, options), state: { kv } as State };
    const z = tf.add(state.z, token.k);
    const rows = tf.reshape(token.q, [B * Hk, H / Hk, d]);
    const sums = tf.matMul(rows, tf.reshape(z, [B * Hk, d, 1]));
    return { y: finish(whole, tf.reshape(sums, [B, 1, H, 1]), w, options), state: { kv, z } };
  },
};
