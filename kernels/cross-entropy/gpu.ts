// How gpu.wgsl makes cross-entropy.
import { ceilDiv, type GpuPass, type GpuPlans, lanesFor } from '../core/plan';

/** Lanes by the length of a row of logits, and by the number of rows. */
const byClasses: GpuPass['constants'] = ([, V], grants) => ({ wide: lanesFor(V, grants) });
const byRows: GpuPass['constants'] = ([rows], grants) => ({ wide: lanesFor(rows, grants) });

export const gpu: GpuPlans = {
  CrossEntropy: {
    scratch: ([rows]) => ({ row_loss: rows }),
    passes: [
      { entry: 'rows', constants: byClasses, workgroups: ([rows]) => rows },
      { entry: 'mean', constants: byRows, workgroups: () => 1 },
    ],
  },
  CrossEntropyGrad: {
    scratch: () => ({ factor: 1 }),
    passes: [
      { entry: 'factors', constants: byRows, workgroups: () => 1 },
      { entry: 'backward', workgroups: ([rows, V]) => ceilDiv(rows * V, 256) },
    ],
  },
};
