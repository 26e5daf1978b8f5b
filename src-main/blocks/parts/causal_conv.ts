// Depthwise causal convolution over time, with SiLU after it or without.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { causalConv as kernel } from '../../../kernels/causal-conv/kernel';
import { bind, tf } from '../../ops';
import { activate } from './activation';

/** Convolutions of x [B, T, C] by weight [K, C] and bias [C]; attributes `activation`, and `ahead`: by how many tokens the taps look ahead. */
export const convolve = bind(kernel, {
  replaces: ({ x, weight, bias }, { activation, ahead = 0 }) => {
    const [B, T, C] = x!.shape;
    const [K] = weight!.shape;
    const zeros = (tokens: number) => (tokens ? [tf.zeros([B, tokens, C])] : []);
    const padded = tf.concat([...zeros(K - 1 - Number(ahead)), x!, ...zeros(Number(ahead))], 1); // [B, K-1+T, C]
    const taps = Array.from({ length: K }, (_, k) =>
      tf.mul(tf.slice(padded, [0, k, 0], [B, T, C]), tf.slice(weight!, [k, 0], [1, C])),
    );
    const sum = taps.reduce((a, b) => tf.add(a, b), bias ?? tf.zeros([C]));
    return { y: activation === 'silu' ? activate('silu', sum) : sum };
  },
});

/** x [B, T, C], weight [K, C], bias [C] to act(bias + Σ_k weight[k] · x[t + k − (K−1)]), zeros before the start. */
export const causalConv = (x: Tensor3D, weight: Tensor, bias: Tensor | undefined, activation: 'silu' | 'none') =>
  convolve({ x, weight, bias }, { activation }).y as Tensor3D;

/** The same with SiLU after it. */
export const causalConvSilu = (x: Tensor3D, weight: Tensor, bias?: Tensor): Tensor3D =>
  causalConv(x, weight, bias, 'silu');
