// How gpu.wgsl normalises heads: the factors of channels packed, then a workgroup for each row's head; the factors' gradients in parts of rows.
import { ceilDiv, type GpuPass, type GpuPlans } from '../core/plan';

/** Rows of a part of the factors' sums: kRows of gpu.wgsl. */
const ROWS = 64;

type Ints = readonly number[];
const channels = ([, width]: Ints) => ceilDiv(width, 64);
const heads = ([rows, , count]: Ints) => rows * count;
const pack: GpuPass = { entry: 'pack_factors', workgroups: channels };

export const gpu: GpuPlans = {
  HeadNorm: {
    scratch: ([, width]) => ({ factors: 3 * width }),
    passes: [pack, { entry: 'forward', workgroups: heads }],
  },
  HeadNormGrad: {
    scratch: ([rows, width]) => ({ factors: 3 * width, partial: 3 * ceilDiv(rows, ROWS) * width }),
    passes: [
      pack,
      { entry: 'backward', workgroups: heads },
      { entry: 'gate_slopes', workgroups: ([rows, width]) => ceilDiv(rows * width, 256) },
      { entry: 'factor_parts', workgroups: (n) => ceilDiv(n[0], ROWS) * channels(n) },
      { entry: 'factor_sums', workgroups: channels },
    ],
  },
};
