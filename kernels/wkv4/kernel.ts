// The weighted mean of RWKV-4 over all tokens: a causal softmax for each channel, with its exponents kept apart from the sums.
import { defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

/** Tokens between sums that are kept for the gradient; those inside are computed again. */
export const segment = 64;

const ints = ({ k }: Shapes) => [...k]; // batch, T, C

/**
 * Keys and values k, v [b, T, C], log decay w [C] (<= 0) a token and bonus u [C] of the current token to y [b, T, C]. sums
 * [b, ceil(T / 64), 3, C] are mean, weight and the weight's exponent before each segment.
 */
export const wkv4 = defineKernel({
  name: 'Wkv4',
  inputs: ['k', 'v', 'w', 'u'],
  outputs: ({ k }) => ({ y: k, sums: [k[0], Math.ceil(k[1] / segment), 3, k[2]] }),
  ints,
  refuses({ k, v, w, u }) {
    if (k.length !== 3) return `k must be [batch, tokens, channels], not [${k.join(', ')}]`;
    if (String(v) !== String(k)) return `v [${v}] must have the shape of k [${k}]`;
    for (const [name, shape] of Object.entries({ w, u }))
      if (sizeOf(shape) !== k[2]) return `${name} has ${sizeOf(shape)} entries for ${k[2]} channels`;
    return undefined;
  },
  gradient: {
    kernel: 'Wkv4Grad',
    inputs: ['k', 'v', 'w', 'u'],
    outputs: ['sums'],
    cotangents: ['y'],
    of: ['k', 'v', 'w', 'u'],
  },
});

export const wkv4Grad = defineKernel({
  name: 'Wkv4Grad',
  inputs: ['k', 'v', 'w', 'u', 'sums', 'dy'],
  outputs: ({ k, v, w, u }) => ({ dk: k, dv: v, dw: w, du: u }),
  ints,
});

export const kernels: Kernel[] = [wkv4, wkv4Grad];
