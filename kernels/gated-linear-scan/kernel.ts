// Gated linear attention over all tokens: S = diag(e^g) S + k vᵀ, o = Sᵀ q, with a decay for each key channel.
import { defineKernel, type Kernel, type Shapes } from '../core/kernel';

/** Tokens between states that are kept for the gradient; those inside are computed again. */
export const segment = 16;

const ints = ({ q, k, v }: Shapes) => [...q, k[2], v[3]]; // batch, T, H, d, Hk, e

/**
 * Queries q [b, T, H, d] (scaled), keys k and log decays g (<= 0) [b, T, Hk, d], values v [b, T, Hk, e] to o [b, T, H, e], from an empty state.
 * Query head h reads key head floor(h·Hk/H). states [b, Hk, ceil(T / 16), e, d] are those before each segment, transposed.
 */
export const gatedLinearScan = defineKernel({
  name: 'GatedLinearScan',
  inputs: ['q', 'k', 'v', 'g'],
  outputs: ({ q: [batch, T, H, d], v: [, , Hk, e] }) => ({
    o: [batch, T, H, e],
    states: [batch, Hk, Math.ceil(T / segment), e, d],
  }),
  ints,
  refuses({ q, k, v, g }) {
    if (q.length !== 4) return `q must be [batch, tokens, heads, channels], not [${q.join(', ')}]`;
    if (k.length !== 4 || k[0] !== q[0] || k[1] !== q[1] || k[3] !== q[3])
      return `k [${k}] and q [${q}] must agree in batch, tokens and channels`;
    if (String(g) !== String(k)) return `g [${g}] must have the shape of k [${k}]`;
    if (v.length !== 4 || String(v.slice(0, 3)) !== String(k.slice(0, 3)))
      return `v [${v}] and k [${k}] must agree in batch, tokens and heads`;
    if (q[2] % k[2] !== 0) return `${k[2]} key heads do not divide ${q[2]} query heads`;
    return undefined;
  },
  gradient: {
    kernel: 'GatedLinearScanGrad',
    inputs: ['q', 'k', 'v', 'g'],
    outputs: ['states'],
    cotangents: ['o'],
    of: ['q', 'k', 'v', 'g'],
  },
});

export const gatedLinearScanGrad = defineKernel({
  name: 'GatedLinearScanGrad',
  inputs: ['q', 'k', 'v', 'g', 'states', 'do'],
  outputs: ({ q, k, v, g }) => ({ dq: q, dk: k, dv: v, dg: g }),
  ints,
});

export const kernels: Kernel[] = [gatedLinearScan, gatedLinearScanGrad];
