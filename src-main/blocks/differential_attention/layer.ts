// Projections and the norm of each head around differential attention: the whole sequence, and token by token from a cache of keys and values.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { append, rotaryNow } from '../parts/decoding';
import { linear } from '../parts/linear';
import { rmsNorm } from '../parts/norm';
import { rotaryTables, rotate } from '../parts/rotary';
import { attend } from './fused';
import { type DifferentialOptions, lambdaInit, sizes } from './options';
import { attend as attendAndSee, attendCached, lambdaOf } from './reference';

const rotary = ({ ropeTheta: theta, ropeFraction: fraction }: DifferentialOptions) => ({ theta, fraction });

/** o [B, T, H, 2d], each head normed, times 1 − λ_init (the constant, not λ), through w_o to [B, T, D]. */
function finish(o: Tensor, w: Weights, start: number, B: number, T: number, epsilon: number): Tensor3D {
  const scaled = tf.mul(w.head_norm, 1 - start); // the constant goes with the 2d weights of the norm
  return linear(tf.reshape(rmsNorm(o, scaled, epsilon), [B, T, -1]), w.w_o) as Tensor3D;
}

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
    /** Both components [B, T, heads, d] of columns (2h + c)·d + i. */
    const components = (u: Tensor, heads: number): [Tensor4D, Tensor4D] => {
      const both = tf.reshape(u, [B, T, heads, 2 * d]);
      const one = (c: number) => tf.slice(both, [0, 0, 0, c * d], [B, T, heads, d]) as Tensor4D;
      return [one(0), one(1)];
    };
    const heads = {
      q: components(linear(x, w.w_q), H),
      k: components(linear(x, w.w_k), Hk),
      v: tf.reshape(linear(x, w.w_v), [B, T, Hk, 2 * d]) as Tensor4D,
      ...rotaryTables(0, T, d, rotary(options)),
    };
    const attributes = { causal: options.causal, scale: 1 / Math.sqrt(d) };
    if (extra) {
      extra('lambda', tf.reshape(lambda.lambda, [1]));
      attendAndSee(heads, lambda, attributes, extra); // the kernel keeps no map
    }
    return finish(attend(heads, lambda, attributes), w, start, B, T, options.normEps);
  },

  begin: () => ({}),

  step(x, w, state, context) {
    const { options } = context;
    const [B, , D] = x.shape;
    const { H, Hk, d } = sizes(options, D);
    const { start, lambda } = lambdas(w, options);
    const tables = rotaryNow(context, d, rotary(options));
    const turned = (u: Tensor, heads: number) => {
      const one = tf.reshape(u, [B, 1, 2 * heads, d]) as Tensor4D;
      return tables ? rotate(one, tables.cos, tables.sin) : one;
    };
    // Caches [B, heads, n, width]: keys as they were turned at their own positions, row 2g + c for component c.
    const keys = tf.reshape(turned(linear(x, w.w_k), Hk), [B, 2 * Hk, 1, d]);
    const values = tf.reshape(linear(x, w.w_v), [B, Hk, 1, 2 * d]);
    const k = append(context, 'k_cache', state.k_cache, keys);
    const v = append(context, 'v_cache', state.v_cache, values);
    const query = tf.reshape(turned(linear(x, w.w_q), H), [B, H, 2, d]) as Tensor4D;
    const o = attendCached(query, k, v, lambda, 1 / Math.sqrt(d));
    return { y: finish(o, w, start, B, 1, options.normEps), state: { k_cache: k.rows, v_cache: v.rows } };
  },
};
