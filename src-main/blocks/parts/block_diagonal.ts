// Linear maps of blocks of neighbouring channels, each block by itself.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { blockDiagonal as kernel } from '../../../kernels/block-diagonal/kernel';
import { bind, tf } from '../../ops';

const bound = bind(kernel, {
  replaces(inputs) {
    const { x, w, bias } = inputs as { x: Tensor; w: Tensor; bias?: Tensor };
    const [N, I, O] = w.shape;
    const rows = tf.transpose(tf.reshape(x, [-1, N, I]), [1, 0, 2]) as Tensor3D; // [N, rows, I]
    const mapped = tf.transpose(tf.matMul(rows, w as Tensor3D), [1, 0, 2]); // [rows, N, O]
    const y = tf.reshape(mapped, [...x.shape.slice(0, -1), N * O]);
    return { y: bias ? tf.add(y, bias) : y };
  },
});

/** x [.., N·I], w [N, I, O], b [N·O] to [.., N·O]: block n maps channels n·I to n·I+I-1. */
export const blockDiagonal = (x: Tensor, w: Tensor, b?: Tensor): Tensor => bound({ x, w, bias: b }, {}).y;
