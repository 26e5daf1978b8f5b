// Projections and the norm of each head around differential attention: the whole sequence, and token by token from a cache of keys and values.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { append, once, rotaryNow, turnNow } from '../parts/decoding';
import { linear, linears } from '../parts/linear';
import { rmsNorm } from '../parts/norm';
import { rotaryTables } from '../parts/rotary';
import { attend } from './fused';
import { type DifferentialOptions, lambdaInit, sizes } from './options';
import { attend as attendAndSee, attendCached, lambdaOf } from './reference';

const rotary = ({ ropeTheta: theta, ropeFraction: fraction }: DifferentialOptions) => ({ theta, fraction });

/** The norm of each head, times 1 − λ_init (the constant, not λ), which goes with its 2d weights. */
const normOf = (w: Weights, start: number, epsilon: number) => ({ weight: tf.mul(w.head_norm, 1 - start), epsilon });

/** λ_init and λ of the layer. */
function lambdas(w: Weights, options: DifferentialOptions) {
  const start = lambdaInit(options);
  return { start, lambda: lambdaOf(w, start) };
}

export const layer: Layer<DifferentialOptions> = {
  forward(x, w, { options, extra }) {
    const [B, T, D] = x.shape;
    const { H, Hk, d } = sizes(options, D);
    const { start, lambda } = lambdas(w, options);
    const [q, k, v] = linears(x, [w.w_q, w.w_k, w.w_v]);
    const heads = {
      q: tf.reshape(q, [B, T, 2 * H, d]) as Tensor4D,
      k: tf.reshape(k, [B, T, 2 * Hk, d]) as Tensor4D,
      v: tf.reshape(v, [B, T, Hk, 2 * d]) as Tensor4D,
      ...rotaryTables(0, T, d, rotary(options)),
    };
    const attributes = { causal: options.causal, scale: 1 / Math.sqrt(d) };
    if (extra) {
      extra('lambda', tf.reshape(lambda.lambda, [1]));
      attendAndSee(heads, lambda, attributes, extra); // the kernel keeps no map
    }
    const y = attend(heads, lambda, normOf(w, start, options.normEps), attributes);
    return linear(tf.reshape(y, [B, T, 2 * H * d]), w.w_o) as Tensor3D;
  },

  begin: () => ({}),

  step(x, w, state, context) {
    const { options } = context;
    const [B, , D] = x.shape;
    const { H, Hk, d } = sizes(options, D);
    const rest = once(context, 'rest', () => lambdas(w, options).lambda.rest);
    const tables = rotaryNow(context, d, rotary(options));
    const turned = (u: Tensor, heads: number) => {
      const one = tf.reshape(u, [B, 1, 2 * heads, d]) as Tensor4D;
      return turnNow(one, d, tables);
    };
    // Caches [B, heads, n, width]: keys as they were turned at their own positions, row 2g + c for component c.
    const [queries, keys, values] = linears(x, [w.w_q, w.w_k, w.w_v]);
    const k = append(context, 'k_cache', state.k_cache, tf.reshape(turned(keys, Hk), [B, 2 * Hk, 1, d]));
    const v = append(context, 'v_cache', state.v_cache, tf.reshape(values, [B, Hk, 1, 2 * d]));
    const query = tf.reshape(turned(queries, H), [B, H, 2, d]) as Tensor4D;
    const o = attendCached(query, k, v, { rest }, 1 / Math.sqrt(d));
    const weight = once(context, 'norm', () => normOf(w, lambdaInit(options), options.normEps).weight);
    const normed = tf.reshape(rmsNorm(tf.reshape(o, [B, H, 2 * d]), weight, options.normEps), [B, 1, 2 * H * d]);
    return { y: linear(normed, w.w_o) as Tensor3D, state: { k_cache: k.rows, v_cache: v.rows } };
  },
};
