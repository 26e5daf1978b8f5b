// Depthwise convolution over time that looks as far ahead as back.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { causalConv } from './causal_conv';

/** x [B, T, C], weight [K, C] with K odd, bias [C] to act(bias + Σ_k weight[k] · x[t + k − (K−1)/2]), zeros outside. */
export function centredConv(x: Tensor3D, weight: Tensor, bias: Tensor | undefined, activation: 'silu' | 'none') {
  const [B, T, C] = x.shape;
  const ahead = (weight.shape[0] - 1) / 2;
  if (ahead === 0) return causalConv(x, weight, bias, activation);
  // The causal one at a later token sees what this one sees.
  const longer = tf.concat([x, tf.zeros([B, ahead, C])], 1) as Tensor3D;
  return tf.slice(causalConv(longer, weight, bias, activation), [0, ahead, 0], [B, T, C]) as Tensor3D;
}
