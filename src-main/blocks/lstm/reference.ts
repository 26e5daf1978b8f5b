// The equation as written, one token: c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c), gates in PyTorch's order i, f, g, o.
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { walk } from '../parts/recurrent';

/** Output h and cell c, [B, h] each. */
export interface Cell {
  h: Tensor;
  c: Tensor;
}

/** gates [B, 4h] from the input, biases included, w_h [h, 4h]. */
export function step({ h, c }: Cell, gates: Tensor, w_h: Tensor): Cell {
  const [i, f, g, o] = tf.split(tf.add(gates, tf.matMul(h as Tensor2D, w_h as Tensor2D)), 4, 1);
  const cell = tf.add(tf.mul(tf.sigmoid(f), c), tf.mul(tf.sigmoid(i), tf.tanh(g)));
  return { h: tf.mul(tf.sigmoid(o), tf.tanh(cell)), c: cell };
}

/** All tokens from zeros: gates [B, T, 4h] to outputs [B, T, h]. */
export function run(gates: Tensor3D, w_h: Tensor): Tensor3D {
  const zeros = tf.zeros([gates.shape[0], w_h.shape[0]]);
  let cell: Cell = { h: zeros, c: zeros };
  return walk(gates, (token) => {
    cell = step(cell, token, w_h);
    return cell.h;
  });
}
