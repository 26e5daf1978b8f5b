// Linear maps of blocks of neighbouring channels, each block by itself.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** x [.., N·I], w [N, I, O] to [.., N·O]: block n maps channels n·I to n·I+I-1. */
export function blockDiagonal(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  const [N, I, O] = w.shape;
  const rows = tf.transpose(tf.reshape(x, [-1, N, I]), [1, 0, 2]) as Tensor3D; // [N, rows, I]
  const mapped = tf.transpose(tf.matMul(rows, w as Tensor3D), [1, 0, 2]); // [rows, N, O]
  const y = tf.reshape(mapped, [...x.shape.slice(0, -1), N * O]);
  return b ? tf.add(y, b) : y;
}
