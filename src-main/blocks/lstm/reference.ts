// The equation as written, one token: c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c), gates in PyTorch's order i, f, g, o.
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** Output h and cell c, [B, h] each. */
export interface Cell {
  h: Tensor;
  c: Tensor;
}

/** gates [B, 4h] from the input, w_h [h, 4h], b_h [4h]. */
export function step({ h, c }: Cell, gates: Tensor, w_h: Tensor, b_h?: Tensor): Cell {
  const fromState = tf.matMul(h as Tensor2D, w_h as Tensor2D);
  const all = tf.add(gates, b_h ? tf.add(fromState, b_h) : fromState);
  const [i, f, g, o] = tf.split(all, 4, 1);
  const cell = tf.add(tf.mul(tf.sigmoid(f), c), tf.mul(tf.sigmoid(i), tf.tanh(g)));
  return { h: tf.mul(tf.sigmoid(o), tf.tanh(cell)), c: cell };
}
