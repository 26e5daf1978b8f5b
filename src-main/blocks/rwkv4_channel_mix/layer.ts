// RWKV-4's channel mixing: an MLP of squared ReLU on blended tokens, gated by a receptance.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { activatedLinear } from '../parts/activated_linear';
import { gate } from '../parts/activation';
import { linear } from '../parts/linear';
import { tokenMixes } from '../parts/tokens';

/** x [B, T, D] and, while decoding, the token before it [B, D] to the output [B, T, D]; mu weighs the current token. */
function mix(x: Tensor3D, w: Weights, before?: Tensor): Tensor3D {
  const [k, r] = tokenMixes(x, [w.mu_k, w.mu_r], 'current', before);
  return gate('sigmoid', linear(r, w.w_r), activatedLinear('relu2', linear(k, w.w_k), w.w_v)) as Tensor3D;
}

export const layer: Layer<unknown> = {
  forward: (x, w) => mix(x, w),
  begin: (batch, width) => ({ x_prev: tf.zeros([batch, width]) }),
  step(x, w, { x_prev }) {
    const [B, , D] = x.shape;
    return { y: mix(x, w, x_prev), state: { x_prev: tf.reshape(x, [B, D]) } };
  },
};
