// The equation as written: (act(x·w_gate) ⊙ x·w_up)·w_down.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Weights } from '../define';
import { type Activation, activate } from '../parts/activation';
import { linear } from '../parts/linear';

/** x [B, T, D], w_gate and w_up [D, F], w_down [F, D] to [B, T, D]. */
export function gatedMlp(x: Tensor3D, w: Weights, activation: Activation): Tensor3D {
  const open = activate(activation, linear(x, w.w_gate));
  return linear(tf.mul(open, linear(x, w.w_up)), w.w_down) as Tensor3D;
}
