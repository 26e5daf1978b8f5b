// Gate and product in one pass over memory, both maps of x in one call, and their product not kept for the gradient, where the device has the kernels.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../define';
import { gatedLinear } from '../parts/activated_linear';
import type { Activation } from '../parts/activation';
import { linears } from '../parts/linear';

/** As `gatedMlp` of reference.ts. */
export function gatedMlp(x: Tensor3D, w: Weights, activation: Activation): Tensor3D {
  const [open, up] = linears(x, [w.w_gate, w.w_up]);
  return gatedLinear(activation, open, up, w.w_down) as Tensor3D;
}
