// The kernel that may stand in for the chunked form.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { mlstmCell as kernel, chunk as kernelChunk } from '../../../kernels/mlstm-cell/kernel';
import { bind, tf } from '../../ops';
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
