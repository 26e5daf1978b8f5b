// How gpu.wgsl maps blocks of channels: a lane for each number, the weights' gradients in parts of rows.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Rows of a part of the weights' sums: kRows of gpu.wgsl. */
const ROWS = 256;

/** Numbers of the weights and the bias. */
const weights = ([, N, I, O]: readonly number[]) => N * (I + 1) * O;
const partials = (n: readonly number[]) => ceilDiv(n[0], ROWS) * weights(n);

export const gpu: GpuPlans = {
  BlockDiagonal: { passes: [{ entry: 'forward', workgroups: ([rows, N, , O]) => ceilDiv(rows * N * O, 256) }] },
  BlockDiagonalGrad: {
    scratch: (n) => ({ partial: partials(n) }),
    passes: [
      { entry: 'backward', workgroups: ([rows, N, I]) => ceilDiv(rows * N * I, 256) },
      { entry: 'weight_parts', workgroups: (n) => ceilDiv(partials(n), 256) },
      { entry: 'weight_sums', workgroups: (n) => ceilDiv(weights(n), 64) },
    ],
  },
};
