// Layer normalisation of each head by itself, with a scale and shift of every channel.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { layerNorm } from './norm';

/** x [B, T, D] in `heads` of neighbouring channels: mean 0 and variance 1 in each, then weight [D] and bias [D]. */
export function headNorm(x: Tensor, heads: number, epsilon: number, weight: Tensor, bias?: Tensor): Tensor3D {
  const [B, T, D] = x.shape as [number, number, number];
  const d = D / heads;
  const normed = layerNorm(tf.reshape(x, [B, T, heads, d]), tf.ones([d]), undefined, epsilon);
  const scaled = tf.mul(tf.reshape(normed, [B, T, D]), weight);
  return (bias ? tf.add(scaled, bias) : scaled) as Tensor3D;
}
