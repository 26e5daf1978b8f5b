// The kernel that may stand in for the chunked form.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { mlstmCell as kernel, chunk as kernelChunk } from '../../../kernels/mlstm-cell/kernel';
import { bind } from '../../ops';
import { type Cell, chunkwise, type Gates } from './reference';

const bound = bind(kernel, {
  replaces(inputs, attrs) {
    const { chunk, ...gates } = attrs as unknown as Gates & { chunk: number };
    return { y: chunkwise(inputs as unknown as Cell, gates, { chunk }) };
  },
});

/** As `chunkwise` of reference.ts: y [B, H, T, d]. The kernel's chunks are always of 64 tokens. */
export const mlstmCell = (cell: Cell, { forgetGate, eps }: Gates, { chunk = kernelChunk } = {}): Tensor4D =>
  bound({ ...cell }, { forgetGate, eps, chunk }).y as Tensor4D;
