// RWKV-7's time mixing: six blends with the token before, low-rank decays, rates and gates, the delta rule, a norm, a bonus and the gate.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, LayerContext, Weights } from '../define';
import { headNorm } from '../parts/head_norm';
import { linear } from '../parts/linear';
import { blend, tokenMixes } from '../parts/tokens';
import { wkv } from '../wkv7/fused';
import { step as stepRule } from '../wkv7/reference';
import { isFirst, type Rwkv7Options, sizes } from './options';

// Log decays lie between this and 0.
const STRONGEST_DECAY = -Math.exp(-0.5);
const SMALLEST_NORM = 1e-12;

/** u [.., D] divided by its length in each head; shorter ones than 1e-12 by that. */
function unit(u: Tensor, N: number): Tensor {
  const heads = tf.reshape(u, [-1, N]);
  const square = tf.maximum(tf.sum(tf.square(heads), 1, true), SMALLEST_NORM ** 2);
  return tf.reshape(tf.mul(heads, tf.rsqrt(square)), u.shape);
}

/** The values of this layer, blended with those of the first, which the first hands on. */
function values(mixed: Tensor3D, w: Weights, { options, shared }: LayerContext<Rwkv7Options>): Tensor3D {
  const v = linear(mixed, w.w_v) as Tensor3D;
  if (isFirst(options)) {
    if (shared) shared.v_first = v;
    return v;
  }
  const first = shared?.v_first as Tensor3D | undefined;
  if (!first)
    throw new Error(
      `rwkv7: layer ${options.layer} blends its values with those of layer 0, and no layer 0 came before it; set layer to 0 or -1`,
    );
  return blend(v, first, tf.sigmoid(linear(linear(mixed, w.v1), w.v2, w.v0)));
}

/** What the rule takes, [B, T, D] each, and the gate, of x [B, T, D] and, while decoding, the token before it [B, D]. */
function project(x: Tensor3D, w: Weights, context: LayerContext<Rwkv7Options>, before?: Tensor) {
  const shares = [w.x_r, w.x_w, w.x_k, w.x_v, w.x_a, w.x_g];
  const [forR, forDecay, forK, forV, forRate, forGate] = tokenMixes(x, shares, 'before', before);
  const { N } = sizes(context.options, x.shape[2]);
  const raw = linear(forK, w.w_k);
  const decay = linear(tf.tanh(linear(forDecay, w.w1)), w.w2, w.w0);
  const rate = tf.sigmoid(linear(linear(forRate, w.a1), w.a2, w.a0));
  const removal = unit(tf.mul(raw, w.k_k), N);
  return {
    r: linear(forR, w.w_r),
    w_log: tf.mul(tf.sigmoid(decay), STRONGEST_DECAY),
    k: tf.mul(raw, tf.add(tf.mul(tf.sub(rate, 1), w.k_a), 1)),
    v: values(forV, w, context),
    a: tf.neg(removal),
    b: tf.mul(removal, rate),
    gate: linear(tf.sigmoid(linear(forGate, w.g1)), w.g2),
  };
}
type Projected = ReturnType<typeof project>;

/** What the rule gave, o [B, T, D], to the block's output. */
function finish(
  o: Tensor,
  { r, k, v, gate }: Projected,
  w: Weights,
  { options }: LayerContext<Rwkv7Options>,
): Tensor3D {
  const [B, T, D] = v.shape;
  const { H, N } = sizes(options, D);
  const normed = headNorm(o, H, options.normEps, w.ln_w, { bias: w.ln_b });
  const heads = (u: Tensor) => tf.reshape(u, [B, T, H, N]);
  const bonus = tf.sum(tf.mul(heads(tf.mul(r, k)), w.r_k), 3, true);
  const whole = tf.add(normed, tf.reshape(tf.mul(heads(v), bonus), [B, T, D]));
  return linear(tf.mul(whole, gate), w.w_o) as Tensor3D;
}

export const layer: Layer<Rwkv7Options> = {
  forward(x, w, context) {
    const [B, T, D] = x.shape;
    const { H, N } = sizes(context.options, D);
    const parts = project(x, w, context);
    const heads = (u: Tensor) => tf.transpose(tf.reshape(u, [B, T, H, N]), [0, 2, 1, 3]) as Tensor4D;
    const { r, w_log, k, v, a, b } = parts;
    const o = wkv({ r: heads(r), w_log: heads(w_log), k: heads(k), v: heads(v), a: heads(a), b: heads(b) });
    return finish(tf.reshape(tf.transpose(o, [0, 2, 1, 3]), [B, T, D]), parts, w, context);
  },

  begin(batch, width, options) {
    const { H, N } = sizes(options, width);
    return { x_prev: tf.zeros([batch, width]), s: tf.zeros([batch, H, N, N]) };
  },

  step(x, w, { x_prev, s }, context) {
    const [B, , D] = x.shape;
    const { H, N } = sizes(context.options, D);
    const parts = project(x, w, context, x_prev);
    const heads = (u: Tensor) => tf.reshape(u, [B, H, N]);
    const { r, w_log, k, v, a, b } = parts;
    const token = { r: heads(r), w: heads(w_log), k: heads(k), v: heads(v), a: heads(a), b: heads(b) };
    const done = stepRule(s as Tensor4D, token);
    const y = finish(tf.reshape(done.y, [B, 1, D]), parts, w, context);
    return { y, state: { x_prev: tf.reshape(x, [B, D]), s: done.S } };
  },
};
