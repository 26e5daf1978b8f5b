// Projections around attention: the whole sequence at once, and token by token from a cache of keys and values.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache, Layer, Weights } from '../define';
import { append, attendCaches, filled, rotaryNow, turnNow } from '../parts/decoding';
import { linear, linears } from '../parts/linear';
import { rmsNorm } from '../parts/norm';
import { rotaryTables } from '../parts/rotary';
import { attend } from './fused';
import { type AttentionOptions, sizes } from './options';
import { alibiSlopes, attend as attendAndSee, attendCached, attendSharpened } from './reference';

/** Queries [B, T, H, d], keys and values [B, T, Hk, d] of x [B, T, D], normed if asked, not yet turned. */
function project(x: Tensor3D, w: Weights, options: AttentionOptions) {
  const [B, T, D] = x.shape;
  const { H, Hk, d } = sizes(options, D);
  const [q, k, v] = linears(x, [w.w_q, w.w_k, w.w_v], [w.b_q, w.b_k, w.b_v]);
  const heads = (u: Tensor, count: number) => tf.reshape(u, [B, T, count, d]) as Tensor4D;
  const normed = (u: Tensor4D, name: 'q' | 'k') =>
    options.qkNorm ? (rmsNorm(u, w[`${name}_norm`], options.normEps) as Tensor4D) : u;
  return { q: normed(heads(q, H), 'q'), k: normed(heads(k, Hk), 'k'), v: heads(v, Hk), H, d };
}

/** How scores are made of dot products. */
const attributesOf = ({ causal, window, softCap, alibi }: AttentionOptions, d: number) => ({
  causal,
  window,
  softCap,
  alibi,
  scale: 1 / Math.sqrt(d),
});
const rotary = ({ ropeTheta: theta, ropeFraction: fraction }: AttentionOptions) => ({ theta, fraction });

/** A cache [B, Hk, n, d] with a further token, row [B, Hk, 1, d], and without its oldest where it holds `most`. */
function pushed(cache: Tensor4D | undefined, row: Tensor4D, most: number): Tensor4D {
  if (!cache) return row;
  const [B, Hk, n, d] = cache.shape;
  const kept = n === most ? tf.slice(cache, [0, 0, 1, 0], [B, Hk, n - 1, d]) : cache;
  return tf.concat([kept, row], 2) as Tensor4D;
}

export const layer: Layer<AttentionOptions> = {
  forward(x, w, { options, extra, training }) {
    const [B, T] = x.shape;
    const { q, k, v, H, d } = project(x, w, options);
    const heads = { q, k, v, ...rotaryTables(0, T, d, rotary(options)), sinks: w.sinks };
    const attributes = attributesOf(options, d);
    const sharpen = options.adaptiveTemperature && !training;
    if (extra && !sharpen) attendAndSee(heads, attributes, extra); // the kernel keeps no map
    const o = sharpen ? attendSharpened(heads, attributes, extra) : attend(heads, attributes);
    return linear(tf.reshape(o, [B, T, H * d]), w.w_o) as Tensor3D;
  },

  begin: () => ({}),

  step(x, w, state, context) {
    const { options } = context;
    const [B] = x.shape;
    const { q, k, v, H, d } = project(x, w, options); // [B, 1, heads, d]
    const tables = rotaryNow(context, d, rotary(options));
    const turn = (u: Tensor4D) => turnNow(u, d, tables);
    // Caches [B, Hk, n, d] hold keys as they were turned at their own positions, and no more tokens than a window sees.
    const keep = (name: string, u: Tensor4D): Cache => {
      const row = tf.transpose(u, [0, 2, 1, 3]);
      if (!options.window) return append(context, name, state[name], row);
      return { rows: pushed(state[name] as Tensor4D | undefined, row as Tensor4D, options.window) };
    };
    const k_cache = keep('k_cache', turn(k));
    const v_cache = keep('v_cache', v);
    const query = tf.reshape(turn(q), [B, H, d]) as Tensor3D;
    const next = { k_cache: k_cache.rows, v_cache: v_cache.rows };
    const output = (o: Tensor3D) => ({ y: linear(tf.reshape(o, [B, 1, H * d]), w.w_o) as Tensor3D, state: next });
    const attributes = attributesOf(options, d);
    const { sinks } = w;
    if (options.adaptiveTemperature) {
      const [keys, values] = [k_cache, v_cache].map((cache) => filled(cache) as Tensor4D);
      return output(attendCached(query, keys, values, { ...attributes, sinks }));
    }
    const slopes = options.alibi ? tf.tensor1d(alibiSlopes(H)) : undefined;
    const { softCap, scale } = attributes;
    return output(attendCaches({ q: query, k: k_cache, v: v_cache, slopes, sinks, softCap }, scale));
  },
};
