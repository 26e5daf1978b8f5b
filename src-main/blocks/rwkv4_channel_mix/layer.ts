// RWKV-4's channel mixing: an MLP of squared ReLU on blended tokens, gated by a receptance.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { activate, gate } from '../parts/activation';
import { linear } from '../parts/linear';
import { blend, previous } from '../parts/tokens';

/** x and the tokens before [B, T, D] to the output [B, T, D]; mu weighs the current token. */
function mix(x: Tensor3D, before: Tensor3D, w: Weights): Tensor3D {
  const k = activate('relu2', linear(blend(before, x, w.mu_k), w.w_k));
  const r = linear(blend(before, x, w.mu_r), w.w_r);
  return gate('sigmoid', r, linear(k, w.w_v)) as Tensor3D;
}

export const layer: Layer<unknown> = {
  forward: (x, w) => mix(x, previous(x), w),
  begin: (batch, width) => ({ x_prev: tf.zeros([batch, width]) }),
  step(x, w, { x_prev }) {
    const [B, , D] = x.shape;
    return { y: mix(x, tf.reshape(x_prev, [B, 1, D]), w), state: { x_prev: tf.reshape(x, [B, D]) } };
  },
};
