// The kernels that may stand in for the chunked form: of the cell alone, and with the maps that make its gates.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import {
  gatedMlstm as gatedKernel,
  mlstmCell as kernel,
  chunk as kernelChunk,
} from '../../../kernels/mlstm-cell/kernel';
import { bind, hasKernel, type Inputs, tf } from '../../ops';
import { linear } from '../parts/linear';
import { type Cell, chunkwise, type Gates } from './reference';

const bound = bind(kernel, {
  replaces(inputs, attrs) {
    const { chunk, tokensFirst, ...gates } = attrs as unknown as Gates & { chunk: number; tokensFirst: boolean };
    const cell = inputs as unknown as Cell;
    if (!tokensFirst) return { y: chunkwise(cell, gates, { chunk }) };
    const turn = <T extends Tensor>(u: T) => tf.transpose(u, [0, 2, 1, 3].slice(0, u.rank)) as T;
    const { q, k, v, i, f } = cell;
    const turned = { q: turn(q), k: turn(k), v: turn(v), i: turn(i), f: turn(f) };
    return { y: turn(chunkwise(turned, gates, { chunk })) };
  },
});

/** As `chunkwise` of reference.ts: y [B, H, T, d]. The kernel's chunks are always of 64 tokens. */
export const mlstmCell = (cell: Cell, { forgetGate, eps }: Gates, { chunk = kernelChunk } = {}): Tensor4D =>
  bound({ ...cell }, { forgetGate, eps, chunk, tokensFirst: false }).y as Tensor4D;

/** The same with tokens before heads: q, k, v [B, T, H, d] and i, f [B, T, H] to y [B, T, H, d]. */
export const mlstmByToken = (cell: Cell, { forgetGate, eps }: Gates): Tensor4D =>
  bound({ ...cell }, { forgetGate, eps, chunk: kernelChunk, tokensFirst: true }).y as Tensor4D;

/** Weights that make the gates from all channels of queries, keys and values, in this order: maps [3·H·d, H] and biases [H]. */
export interface GateWeights {
  w_i: Tensor;
  b_i: Tensor;
  w_f: Tensor;
  b_f: Tensor;
}

/** Gates i, f [B, T, H] of queries, keys and values [B, T, E] side by side, by the weights of both gates side by side: w [3·E, 2·H], b [2·H]. */
export function gatesOf(three: readonly Tensor[], w: Tensor, b: Tensor): [Tensor3D, Tensor3D] {
  const both = linear(tf.concat([...three], 2), w, b);
  return tf.split(both, 2, 2) as [Tensor3D, Tensor3D];
}

function composed(inputs: Inputs, gates: Gates): Tensor4D {
  const { q, k, v, w_i, b_i, w_f, b_f } = inputs as unknown as GateWeights & Record<'q' | 'k' | 'v', Tensor4D>;
  const [B, T, H, d] = q.shape;
  const [i, f] = gatesOf(
    [q, k, v].map((u) => tf.reshape(u, [B, T, H * d])),
    tf.concat([w_i, w_f], 1),
    tf.concat([b_i, b_f], 0),
  );
  return mlstmByToken({ q, k, v, i, f }, gates);
}

const gated = bind(gatedKernel, {
  replaces: (inputs, attrs) => ({ y: composed(inputs, attrs as unknown as Gates) }),
});

/** `mlstmByToken` with gates made from q, k, v [B, T, H, d] themselves. */
export function gatedMlstm(cell: Omit<Cell, 'i' | 'f'>, weights: GateWeights, { forgetGate, eps }: Gates): Tensor4D {
  const inputs = { ...cell, ...weights };
  // A device with the cell alone makes the gates by themselves.
  if (!hasKernel(gatedKernel.name)) return composed(inputs, { forgetGate, eps });
  return gated(inputs, { forgetGate, eps }).y as Tensor4D;
}
