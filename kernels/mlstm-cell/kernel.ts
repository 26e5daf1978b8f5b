// The matrix memory of xLSTM over all tokens, in chunks: exponential input gates, forget gates, and a stabiliser.
import { defineKernel, type Kernel } from '../core/kernel';
import { gatedMlstm, gatedMlstmGrad } from './gated';
import { chunk, floats, ints, memoriesOf, sizes, unfit } from './sizes';

export { chunk, gatedMlstm, gatedMlstmGrad };

/**
 * Queries, keys (not yet divided by √d) and values q, k, v [b, H, T, d], preactivations i, f [b, H, T] of input and forget gate to y
 * [b, H, T, d], from an empty memory. Attributes: forgetGate 'sigmoid' (default) or 'exp'; eps (default 1e-6), added to the denominator;
 * tokensFirst: q, k, v, y lie as [b, T, H, d], and i, f as [b, T, H].
 * memories [b, H, ceil(T / 64), d + 2, d] and stabilisers [b, H, ceil(T / 64)] are those before each chunk: the memory by key and value
 * channel less n rᵀ, the row n of normalisers, and the value r of the token with the largest log weight. size, shaped as i: q·n of each token.
 */
export const mlstmCell = defineKernel({
  name: 'MlstmCell',
  inputs: ['q', 'k', 'v', 'i', 'f'],
  outputs({ q, i }, attrs) {
    return { y: q, ...memoriesOf(sizes(q, attrs)), size: i };
  },
  ints,
  floats,
  refuses({ q, k, v, i, f }, { forgetGate = 'sigmoid', eps = 1e-6, tokensFirst }) {
    const order = tokensFirst ? 'tokens, heads' : 'heads, tokens';
    if (q.length !== 4) return `q must be [batch, ${order}, channels], not [${q.join(', ')}]`;
    for (const [name, shape] of Object.entries({ k, v }))
      if (String(shape) !== String(q)) return `${name} [${shape}] must have the shape of q [${q}]`;
    for (const [name, shape] of Object.entries({ i, f }))
      if (String(shape) !== String(q.slice(0, 3)))
        return `${name} [${shape}] must be [${q.slice(0, 3)}] to go with q [${q}]`;
    return unfit(forgetGate, eps);
  },
  gradient: {
    kernel: 'MlstmCellGrad',
    inputs: ['q', 'k', 'v', 'i', 'f'],
    outputs: ['size', 'memories', 'stabilisers'],
    cotangents: ['y'],
    of: ['q', 'k', 'v', 'i', 'f'],
  },
});

export const mlstmCellGrad = defineKernel({
  name: 'MlstmCellGrad',
  inputs: ['q', 'k', 'v', 'i', 'f', 'size', 'memories', 'stabilisers', 'dy'],
  outputs: ({ q, k, v, i, f }) => ({ dq: q, dk: k, dv: v, di: i, df: f }),
  ints,
  floats,
});

export const kernels: Kernel[] = [mlstmCell, mlstmCellGrad, gatedMlstm, gatedMlstmGrad];
