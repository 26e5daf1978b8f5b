// Gate and product in one pass over memory, where the device has the kernel.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../define';
import { type Activation, gate } from '../parts/activation';
import { linear } from '../parts/linear';

/** As `gatedMlp` of reference.ts. */
export const gatedMlp = (x: Tensor3D, w: Weights, activation: Activation): Tensor3D =>
  linear(gate(activation, linear(x, w.w_gate), linear(x, w.w_up)), w.w_down) as Tensor3D;
