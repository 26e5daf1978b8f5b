// RWKV-7's channel mixing: an MLP of squared ReLU on blended tokens.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { activate } from '../parts/activation';
import { linear } from '../parts/linear';
import { blend, previous } from '../parts/tokens';

/** x and the tokens before [B, T, D] to the output [B, T, D]; x_k weighs the token before. */
const mix = (x: Tensor3D, before: Tensor3D, w: Weights): Tensor3D =>
  linear(activate('relu2', linear(blend(x, before, w.x_k), w.w_k)), w.w_v) as Tensor3D;

export const layer: Layer<unknown> = {
  forward: (x, w) => mix(x, previous(x), w),
  begin: (batch, width) => ({ x_prev: tf.zeros([batch, width]) }),
  step(x, w, { x_prev }) {
    const [B, , D] = x.shape;
    return { y: mix(x, tf.reshape(x_prev, [B, 1, D]), w), state: { x_prev: tf.reshape(x, [B, D]) } };
  },
};
