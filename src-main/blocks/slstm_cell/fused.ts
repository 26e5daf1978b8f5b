// The kernels that may stand in for the composition, from an empty memory: of the cell alone, and with the maps that make its gates.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { slstmCell as kernel, mappedSlstm as mappedKernel } from '../../../kernels/slstm-cell/kernel';
import { bind, hasKernel } from '../../ops';
import { blockDiagonal } from '../parts/block_diagonal';
import { type Cell, run } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ y: run(inputs as unknown as Cell).y }) });

/** As `run` of reference.ts without a memory: y [B, T, D]. */
export const slstmCell = (cell: Cell): Tensor3D => bound({ ...cell }, {}).y as Tensor3D;

/** Maps by head [H, d, d] of each gate, recurrent weights r [4, H, d, d] and biases b [4, D]. */
export type SlstmWeights = Record<'w_i' | 'w_f' | 'w_z' | 'w_o', Tensor> & Pick<Cell, 'r' | 'b'>;

/** c through the maps of input and forget gate, x through those of cell input and output gate: [.., D] each. */
export const gatesOf = (c: Tensor, x: Tensor, { w_i, w_f, w_z, w_o, r, b }: SlstmWeights): Cell => ({
  i: blockDiagonal(c, w_i) as Tensor3D,
  f: blockDiagonal(c, w_f) as Tensor3D,
  z: blockDiagonal(x, w_z) as Tensor3D,
  o: blockDiagonal(x, w_o) as Tensor3D,
  r,
  b,
});

const mapped = bind(mappedKernel, {
  replaces(inputs) {
    const { c, x, ...weights } = inputs as unknown as SlstmWeights & Record<'c' | 'x', Tensor>;
    return { y: slstmCell(gatesOf(c, x, weights)) };
  },
});

/** `slstmCell` with gates made from c and x [B, T, D]. */
export function mappedSlstm(c: Tensor, x: Tensor, { w_i, w_f, w_z, w_o, r, b }: SlstmWeights): Tensor3D {
  const weights = { w_i, w_f, w_z, w_o, r, b };
  // A device with the cell alone makes the gates by themselves.
  if (!hasKernel(mappedKernel.name)) return slstmCell(gatesOf(c, x, weights));
  return mapped({ c, x, ...weights }, {}).y as Tensor3D;
}
