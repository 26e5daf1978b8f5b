// The equation as written: y[t] = act(b + Σ_k w[k] x[t + k − (K−1)]), channel by channel, zeros before the first token.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { Weights } from '../define';
import { type Activation, activate } from '../parts/activation';
import { causalConv } from '../parts/causal_conv';

/** x [B, T, D], w [K, D], b [D] to [B, T, D]; SiLU goes with the convolution where a device has the kernel. */
export const convolved = (x: Tensor3D, { w, b }: Weights, activation: Activation): Tensor3D =>
  activation === 'silu' ? causalConv(x, w, b, 'silu') : (activate(activation, causalConv(x, w, b, 'none')) as Tensor3D);
