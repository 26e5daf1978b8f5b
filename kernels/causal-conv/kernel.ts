// Depthwise causal convolution over time, with or without SiLU after it: the short convolution of Mamba-2 and its kin.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

const ints = ({ x, weight }: Shapes, attrs: Attrs) => [
  x[0],
  x[1],
  x[2],
  weight[0],
  Number((attrs.activation ?? 'none') === 'silu'),
];

/**
 * x [B, T, C], weight [K, C], bias [C] to y [B, T, C] = act(bias + Σ_k weight[k] · x[t + k - (K-1)]), zeros before the start: tap K-1 meets the
 * current token. Attribute `activation`: 'silu' or 'none' (default).
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
