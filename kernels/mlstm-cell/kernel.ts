// The matrix memory of xLSTM over all tokens, in chunks: exponential input gates, forget gates, and a stabiliser.
import { type Attrs, defineKernel, type Kernel, type Shapes } from '../core/kernel';

/** Tokens a chunk. */
export const chunk = 64;

const ints = ({ q }: Shapes, attrs: Attrs) => [q[0] * q[1], q[2], q[3], attrs.forgetGate === 'exp' ? 1 : 0]; // rows, T, d
const floats = ({ eps = 1e-6 }: Attrs) => [eps as number];

/**
 * Queries, keys (not yet divided by √d) and values q, k, v [b, H, T, d], preactivations i, f [b, H, T] of input and forget gate to y
 * [b, H, T, d], from an empty memory. Attributes: forgetGate 'sigmoid' (default) or 'exp', and eps (default 1e-6), added to the denominator.
 * memories [b, H, ceil(T / 64), d + 1, d] and stabilisers [b, H, ceil(T / 64)] are those before each chunk: the memory by key and value
 * channel, then a row of normalisers.
 */
export const mlstmCell = defineKernel({
  name: 'MlstmCell',
  inputs: ['q', 'k', 'v', 'i', 'f'],
  outputs({ q: [batch, H, T, d] }) {
    const chunks = Math.ceil(T / chunk);
    return { y: [batch, H, T, d], memories: [batch, H, chunks, d + 1, d], stabilisers: [batch, H, chunks] };
  },
  ints,
  floats,
  refuses({ q, k, v, i, f }, { forgetGate = 'sigmoid', eps = 1e-6 }) {
    if (q.length !== 4) return `q must be [batch, heads, tokens, channels], not [${q.join(', ')}]`;
    for (const [name, shape] of Object.entries({ k, v }))
      if (String(shape) !== String(q)) return `${name} [${shape}] must have the shape of q [${q}]`;
    for (const [name, shape] of Object.entries({ i, f }))
      if (String(shape) !== String(q.slice(0, 3)))
        return `${name} [${shape}] must be [${q.slice(0, 3)}] to go with q [${q}]`;
    if (forgetGate !== 'sigmoid' && forgetGate !== 'exp')
      return `forgetGate must be 'sigmoid' or 'exp', not ${forgetGate}`;
    if (typeof eps !== 'number' || !(eps >= 0)) return `eps must be a number of at least 0, not ${eps}`;
    return undefined;
  },
  gradient: {
    kernel: 'MlstmCellGrad',
    inputs: ['q', 'k', 'v', 'i', 'f'],
    outputs: ['y', 'memories', 'stabilisers'],
    cotangents: ['y'],
    of: ['q', 'k', 'v', 'i', 'f'],
  },
});

export const mlstmCellGrad = defineKernel({
  name: 'MlstmCellGrad',
  inputs: ['q', 'k', 'v', 'i', 'f', 'y', 'memories', 'stabilisers', 'dy'],
  outputs: ({ q, k, v, i, f }) => ({ dq: q, dk: k, dv: v, di: i, df: f }),
  ints,
  floats,
});

export const kernels: Kernel[] = [mlstmCell, mlstmCellGrad];
