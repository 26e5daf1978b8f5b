// The equation as written: each token asks P memories of N stored pairs, y = mean_P Σ_n softmax_n(k·K[n]) V[n].
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** Queries [P, R, H, d], stored keys and values [P, N, H, d] to the answers [P, R, H, d]. */
export function consult(queries: Tensor4D, keys: Tensor4D, values: Tensor4D): Tensor4D {
  const [P, R, H, d] = queries.shape;
  const rows = (u: Tensor) => tf.reshape(tf.transpose(u, [0, 2, 1, 3]), [P * H, u.shape[1]!, d]) as Tensor3D;
  const weights = tf.softmax(tf.matMul(rows(queries), rows(keys), false, true)) as Tensor3D;
  const answers = tf.reshape(tf.matMul(weights, rows(values)), [P, H, R, d]);
  return tf.transpose(answers, [0, 2, 1, 3]) as Tensor4D;
}
