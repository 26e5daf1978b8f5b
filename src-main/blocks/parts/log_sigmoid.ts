// The logarithm of the logistic function, exact at both ends.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

const compute = tf.customGrad((x, save) => {
  const u = x as Tensor;
  (save as (kept: Tensor[]) => void)([u]);
  const value = tf.sub(tf.minimum(u, 0), tf.log1p(tf.exp(tf.neg(tf.abs(u)))));
  return { value, gradFunc: (dy: Tensor, [kept]: Tensor[]) => tf.mul(dy, tf.sigmoid(tf.neg(kept))) };
});

/** ln(1 / (1 + e^−x)) as min(x, 0) − ln(1 + e^−|x|); gradient sigmoid(−x). */
export const logSigmoid = <T extends Tensor>(x: T): T => compute(x) as T;
