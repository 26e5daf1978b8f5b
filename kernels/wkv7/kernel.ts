// The generalised delta rule of RWKV-7 over all tokens: S = S diag(e^w) + (S a) bᵀ + v kᵀ, y = S r.
import { defineKernel, type Kernel, type Shapes } from '../core/kernel';
import { kernels as mixes, segment } from './mix';

const ints = ({ r }: Shapes) => [r[0] * r[1], r[2], r[3]]; // rows (batch times heads), T, N

/**
 * Receptance r, log decay w_log (<= 0), key k, value v and directions a, b, all [b, H, T, N], to y [b, H, T, N], from an empty state. states
 * [b, H, ceil(T / 16), N, N] by value and key channel are those before each segment.
 */
export const wkv7 = defineKernel({
  name: 'Wkv7',
  inputs: ['r', 'w_log', 'k', 'v', 'a', 'b'],
  outputs: ({ r: [batch, H, T, N] }) => ({ y: [batch, H, T, N], states: [batch, H, Math.ceil(T / segment), N, N] }),
  ints,
  refuses({ r, ...others }) {
    if (r.length !== 4) return `r must be [batch, heads, tokens, channels], not [${r.join(', ')}]`;
    for (const [name, shape] of Object.entries(others))
      if (String(shape) !== String(r)) return `${name} [${shape}] must have the shape of r [${r}]`;
    return undefined;
  },
  gradient: {
    kernel: 'Wkv7Grad',
    inputs: ['r', 'w_log', 'k', 'v', 'a', 'b'],
    outputs: ['states'],
    cotangents: ['y'],
    of: ['r', 'w_log', 'k', 'v', 'a', 'b'],
  },
});

export const wkv7Grad = defineKernel({
  name: 'Wkv7Grad',
  inputs: ['r', 'w_log', 'k', 'v', 'a', 'b', 'states', 'dy'],
  outputs: ({ r }) => ({ dr: r, dw_log: r, dk: r, dv: r, da: r, db: r }),
  ints,
});

export const kernels: Kernel[] = [wkv7, wkv7Grad, ...mixes];
