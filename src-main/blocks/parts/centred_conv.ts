// Depthwise convolution over time that looks as far ahead as back.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { convolve } from './causal_conv';

/** x [B, T, C], weight [K, C] with K odd, bias [C] to act(bias + Σ_k weight[k] · x[t + k − (K−1)/2]), zeros outside. */
export const centredConv = (x: Tensor3D, weight: Tensor, bias: Tensor | undefined, activation: 'silu' | 'none') =>
  convolve({ x, weight, bias }, { activation, ahead: (weight.shape[0] - 1) / 2 }).y as Tensor3D;
