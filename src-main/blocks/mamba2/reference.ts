// The parts of Mamba-2 that are its own: the step sizes, and one token of the convolution.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { activate } from '../parts/activation';

/** ln(1 + eˣ) as max(x, 0) + ln(1 + e^−|x|), exact at both ends; gradient sigmoid(x). */
const softplus = tf.customGrad((x, save) => {
  const u = x as Tensor;
  (save as (kept: Tensor[]) => void)([u]);
  const value = tf.add(tf.relu(u), tf.log1p(tf.exp(tf.neg(tf.abs(u)))));
  return { value, gradFunc: (dy: Tensor, [kept]: Tensor[]) => tf.mul(dy, tf.sigmoid(kept)) };
});

/** raw [B, T, H] plus bias [H] to step sizes > 0, clamped to `limit`; a clamped entry gets no gradient. */
export function stepSizes(raw: Tensor, bias: Tensor, limit: readonly [number, number] | null): Tensor3D {
  const dt = softplus(tf.add(raw, bias)) as Tensor3D;
  return limit ? tf.clipByValue(dt, limit[0], limit[1]) : dt;
}

/** rows [B, K, C], the newest last, to SiLU(bias + Σ_k weight[k] · rows[k]) [B, C]. */
export function convolveNewest(rows: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const sum = tf.sum(tf.mul(rows, weight), 1);
  return activate('silu', bias ? tf.add(sum, bias) : sum);
}
