// The equation as written: act(x·w_up + b_up)·w_down + b_down.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../define';
import { type Activation, activate } from '../parts/activation';
import { linear } from '../parts/linear';

/** x [B, T, D], w_up [D, F], w_down [F, D] to [B, T, D]. */
export const mlp = (x: Tensor3D, w: Weights, activation: Activation): Tensor3D =>
  linear(activate(activation, linear(x, w.w_up, w.b_up)), w.w_down, w.b_down) as Tensor3D;
