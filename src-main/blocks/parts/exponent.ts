// Sums of exponents that keep their digits: what rounding takes from the sum goes into the factor beside it.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** e^(a + b) as e^sum · rest: rest is 1 plus what rounding took from the sum. For decoding; its gradient would be that of a constant. */
export function plus(a: Tensor, b: Tensor): { sum: Tensor; rest: Tensor } {
  const sum = tf.add(a, b);
  const ofB = tf.sub(sum, a);
  const lost = tf.add(tf.sub(a, tf.sub(sum, ofB)), tf.sub(b, ofB));
  return { sum, rest: tf.add(lost, 1) };
}
