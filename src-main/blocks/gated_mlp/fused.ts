// Gate and product in one pass over memory, and both maps of x in one call, where the device has the kernels.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../define';
import { type Activation, gate } from '../parts/activation';
import { linear, linears } from '../parts/linear';

/** As `gatedMlp` of reference.ts. */
export function gatedMlp(x: Tensor3D, w: Weights, activation: Activation): Tensor3D {
  const [open, up] = linears(x, [w.w_gate, w.w_up]);
  return linear(gate(activation, open, up), w.w_down) as Tensor3D;
}
