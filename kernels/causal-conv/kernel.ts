// Depthwise causal convolution over time, with or without SiLU after it: the short convolution of Mamba-2 and its kin.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

const ints = ({ x, weight }: Shapes, attrs: Attrs) => [
  x[0],
  x[1],
  x[2],
  weight[0],
  Number((attrs.activation ?? 'none') === 'silu'),
  Number(attrs.ahead ?? 0),
];

/**
 * x [B, T, C], weight [K, C], bias [C] to y [B, T, C] = act(bias + Σ_k weight[k] · x[t + k - (K-1) + ahead]), zeros outside of the sequence: tap
 * K-1 meets the current token. Attributes: activation 'silu' or 'none' (default); ahead, by how many tokens the taps look ahead (default 0, at
 * most K-1).
 */
export const causalConv = defineKernel({
  name: 'CausalConv',
  inputs: ['x', 'weight', 'bias?'],
  outputs: ({ x }) => ({ y: x }),
  ints,
  refuses({ x, weight, bias }, attrs) {
    if (x.length !== 3) return `x must be [batch, tokens, channels], not [${x.join(', ')}]`;
    if (weight.length !== 2 || weight[1] !== x[2]) return `weight [${weight.join(', ')}] must be [taps, ${x[2]}]`;
    if (weight[0] < 1 || weight[0] > 16) return `weight has ${weight[0]} taps; 1 to 16 fit`;
    if (bias && sizeOf(bias) !== x[2]) return `bias has ${sizeOf(bias)} entries, x has ${x[2]} channels`;
    const ahead = attrs.ahead ?? 0;
    if (typeof ahead !== 'number' || ahead % 1 !== 0 || ahead < 0 || ahead >= weight[0])
      return `ahead must be a whole number from 0 to ${weight[0] - 1}, one less than the taps, not ${ahead}`;
    if (!['silu', 'none', undefined].includes(attrs.activation as string | undefined))
      return `activation ${String(attrs.activation)} is not one of silu, none`;
    return undefined;
  },
  gradient: {
    kernel: 'CausalConvGrad',
    inputs: ['x', 'weight', 'bias'],
    outputs: [],
    cotangents: ['y'],
    of: ['x', 'weight', 'bias'],
  },
});

export const causalConvGrad = defineKernel({
  name: 'CausalConvGrad',
  inputs: ['x', 'weight', 'bias?', 'dy'],
  outputs: ({ x, weight }) => ({ dx: x, dweight: weight, dbias: [x[2]] }),
  ints,
});

export const kernels: Kernel[] = [causalConv, causalConvGrad];
