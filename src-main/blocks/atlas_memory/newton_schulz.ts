// Muon's orthogonalisation: brings the singular values of a matrix near one with matrix products alone.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

const [A1, A3, A5] = [3.4445, -4.775, 2.0315]; // the quintic a·s + b·s³ + c·s⁵ of each singular value s
const EPSILON = 1e-7;
/** Keeps the root's slope finite at zero; far below what EPSILON leaves of a sum of squares. */
const TINY = 1e-30;

/** S [n, r, s], each matrix by itself; `steps` 0 leaves it as it is. */
export function newtonSchulz(S: Tensor3D, steps: number): Tensor3D {
  if (steps === 0) return S;
  const [, r, s] = S.shape;
  const length = tf.sqrt(tf.add(tf.sum(tf.square(S), [1, 2], true), TINY));
  let X = tf.div(S, tf.add(length, EPSILON)) as Tensor3D;
  for (let step = 0; step < steps; step++) {
    // The smaller of X Xᵀ and Xᵀ X; both give the same result.
    const gram = tf.matMul(X, X, r > s, r <= s) as Tensor3D;
    const poly = tf.add(tf.mul(gram, A3), tf.mul(tf.matMul(gram, gram), A5)) as Tensor3D;
    X = tf.add(tf.mul(X, A1), r <= s ? tf.matMul(poly, X) : tf.matMul(X, poly)) as Tensor3D;
  }
  return X;
}
