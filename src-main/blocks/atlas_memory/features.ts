// Polynomial features of keys and queries.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { MemoryOptions } from './options';

/** √2 for a product of two channels, 1 for a square, so that φ(x)·φ(y) holds (x·y)²; row order (0,0), (0,1) .. (1,1) .. */
function multiplicities(d: number): Tensor {
  const row: number[] = [];
  for (let i = 0; i < d; i++) for (let j = i; j < d; j++) row.push(i === j ? 1 : Math.SQRT2);
  return tf.tensor1d(row);
}

/** x_i x_j for i <= j, x [R, L, d] to [R, L, d(d+1)/2]. */
function products(x: Tensor): Tensor {
  const [R, L, d] = x.shape as [number, number, number];
  const parts = Array.from({ length: d }, (_, i) =>
    tf.mul(tf.slice(x, [0, 0, i], [R, L, 1]), tf.slice(x, [0, 0, i], [R, L, d - i])),
  );
  return tf.mul(tf.concat(parts, 2), multiplicities(d));
}

/** x [R, L, d] to its features [R, L, F]; coefficients [p] from degree 1 elementwise, [p+1] from degree 0 of products. */
export function features(x: Tensor, coef: Tensor | undefined, { featureMap, degree }: MemoryOptions): Tensor {
  if (featureMap === 'none' || !coef) return x;
  const c = (i: number) => tf.slice(coef, [i], [1]);
  if (featureMap === 'elementwise') {
    let sum = c(degree - 1); // Horner's rule: the highest degree first
    for (let i = degree - 2; i >= 0; i--) sum = tf.add(tf.mul(sum, x), c(i));
    return tf.mul(sum, x);
  }
  const one = tf.mul(tf.ones([x.shape[0], x.shape[1]!, 1]), c(0));
  const parts = [one, tf.mul(x, c(1))];
  if (degree > 1) parts.push(tf.mul(products(x), c(2)));
  return tf.concat(parts, 2);
}
