// How gpu.wgsl makes LayerNorm.
import { ceilDiv, type GpuPass, type GpuPlans, lanesFor } from '../core/plan';

/** Rows of a part of the weights' sums: kRows of gpu.wgsl. */
const ROWS = 64;

const byWidth: GpuPass['constants'] = ([, width], grants) => ({ wide: lanesFor(width, grants) });

export const gpu: GpuPlans = {
  LayerNorm: { passes: [{ entry: 'forward', constants: byWidth, workgroups: ([rows]) => rows }] },
  LayerNormGrad: {
    scratch: ([rows, width]) => ({ partial: ceilDiv(rows, ROWS) * 2 * width }),
    passes: [
      { entry: 'backward', constants: byWidth, workgroups: ([rows]) => rows },
      { entry: 'weight_parts', workgroups: ([rows, width]) => ceilDiv(rows, ROWS) * ceilDiv(width, 64) },
      { entry: 'weight_sum', workgroups: ([, width]) => ceilDiv(width, 64) },
    ],
  },
};
