// What the matrix memory reads: queries, keys and values by blocks of channels, and the gates that read all of them.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { gatedBlocks as kernel } from '../../../kernels/block-diagonal/kernel';
import { bind, hasKernel, tf } from '../../ops';
import type { Weights } from '../define';
import { type GateWeights, gatedMlstm, gatesOf, mlstmByToken } from '../mlstm_cell/fused';
import type { Gates } from '../mlstm_cell/reference';
import { blockDiagonal } from '../parts/block_diagonal';

/** Queries, keys and values [.., E] of the convolved c and the plain u [.., E]. */
export const project = (c: Tensor, u: Tensor, w: Weights): Tensor[] => [
  blockDiagonal(c, w.w_q, w.b_q),
  blockDiagonal(c, w.w_k, w.b_k),
  blockDiagonal(u, w.w_v, w.b_v),
];

/** Weights and biases of both gates side by side. */
export const sideBySide = ({ w_i, w_f, b_i, b_f }: Weights) => ({
  w: tf.concat([w_i, w_f], 1),
  b: tf.concat([b_i, b_f], 0),
});

const bound = bind(kernel, {
  replaces(inputs) {
    const { c, u, ...weights } = inputs as Weights;
    const [q, k, v] = project(c, u, weights);
    const { w, b } = sideBySide(weights);
    const [i, f] = gatesOf([q, k, v], w, b);
    return { q, k, v, i, f };
  },
});

const NAMES = ['w_q', 'w_k', 'w_v', 'w_i', 'b_i', 'w_f', 'b_f', 'b_q', 'b_k', 'b_v'] as const;

/** The memory's output h [B, T, E] from c and u [B, T, E], on `heads` heads. */
export function remember(c: Tensor, u: Tensor, w: Weights, heads: number, gates: Gates): Tensor {
  const [B, T, E] = c.shape as [number, number, number];
  const byHead = (x: Tensor) => tf.reshape(x, [B, T, heads, E / heads]) as Tensor4D;
  if (hasKernel(kernel.name) && w.w_q.shape[1] === 4) {
    const given = Object.fromEntries(NAMES.map((name) => [name, w[name]]));
    const { q, k, v, i, f } = bound({ c, u, ...given }, {});
    const cell = { q: byHead(q), k: byHead(k), v: byHead(v), i, f };
    return tf.reshape(mlstmByToken(cell as Parameters<typeof mlstmByToken>[0], gates), [B, T, E]);
  }
  const [q, k, v] = project(c, u, w).map(byHead);
  const { w_i, b_i, w_f, b_f } = w;
  return tf.reshape(gatedMlstm({ q, k, v }, { w_i, b_i, w_f, b_f } satisfies GateWeights, gates), [B, T, E]);
}
