// Linear maps over the last axis.
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** x [.., I], w [I, O], b [O] to x·w + b [.., O]. */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  const [I, O] = w.shape;
  const rows = tf.reshape(x, [-1, I]) as Tensor2D; // one product for all tokens of all sequences
  const y = tf.reshape(tf.matMul(rows, w as Tensor2D), [...x.shape.slice(0, -1), O]);
  return b ? tf.add(y, b) : y;
}
