// RWKV-7's time mixing: six blends with the token before, low-rank decays, rates and gates, the delta rule, a norm, a bonus and the gate.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, LayerContext, Weights } from '../define';
import { linear } from '../parts/linear';
import { tokenMixes } from '../parts/tokens';
import { type Maps, mix, mixStep } from './mix';
import { isFirst, type Rwkv7Options, sizes } from './options';

/** The values of this layer, those of the first, which the first hands on, and the share that these get. */
function values(mixed: Tensor3D, w: Weights, { options, shared }: LayerContext<Rwkv7Options>) {
  const v = linear(mixed, w.w_v);
  if (isFirst(options)) {
    if (shared) shared.v_first = v;
    return { v };
  }
  const first = shared?.v_first as Tensor3D | undefined;
  if (!first)
    throw new Error(
      `rwkv7: layer ${options.layer} blends its values with those of layer 0, and no layer 0 came before it; set layer to 0 or -1`,
    );
  return { v, first, share: linear(linear(mixed, w.v1), w.v2) };
}

/** The maps [B, T, D] of x [B, T, D] and, while decoding, the token before it [B, D]. */
function project(x: Tensor3D, w: Weights, context: LayerContext<Rwkv7Options>, before?: Tensor): Maps {
  const shares = [w.x_r, w.x_w, w.x_k, w.x_v, w.x_a, w.x_g];
  const [forR, forDecay, forKey, forV, forRate, forGate] = tokenMixes(x, shares, 'before', before);
  return {
    r: linear(forR, w.w_r),
    decay: linear(tf.tanh(linear(forDecay, w.w1)), w.w2),
    key: linear(forKey, w.w_k),
    ...values(forV, w, context),
    rate: linear(linear(forRate, w.a1), w.a2),
    gate: linear(tf.sigmoid(linear(forGate, w.g1)), w.g2),
  };
}

export const layer: Layer<Rwkv7Options> = {
  forward(x, w, context) {
    const { options } = context;
    const { H } = sizes(options, x.shape[2]);
    return linear(mix(project(x, w, context), w, H, options.normEps), w.w_o) as Tensor3D;
  },

  begin(batch, width, options) {
    const { H, N } = sizes(options, width);
    return { x_prev: tf.zeros([batch, width]), s: tf.zeros([batch, H, N, N]) };
  },

  step(x, w, { x_prev, s }, context) {
    const [B, , D] = x.shape;
    const { H } = sizes(context.options, D);
    const maps = project(x, w, context, x_prev);
    const done = mixStep(context, maps, w, s, { heads: H, epsilon: context.options.normEps });
    return { y: linear(done.y, w.w_o) as Tensor3D, state: { x_prev: tf.reshape(x, [B, D]), s: done.s } };
  },
};
