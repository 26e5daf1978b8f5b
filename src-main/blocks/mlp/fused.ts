// What the activation gave is not kept for the gradient, where the device has the kernel.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Weights } from '../define';
import { activatedLinear } from '../parts/activated_linear';
import type { Activation } from '../parts/activation';
import { linear } from '../parts/linear';

/** As `mlp` of reference.ts. */
export function mlp(x: Tensor3D, w: Weights, activation: Activation): Tensor3D {
  const y = activatedLinear(activation, linear(x, w.w_up, w.b_up), w.w_down);
  return (w.b_down ? tf.add(y, w.b_down) : y) as Tensor3D;
}
