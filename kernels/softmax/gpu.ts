// How gpu.wgsl makes softmax: one lane a short row, or a workgroup.
import { ceilDiv, type GpuPlans, lanesFor } from '../core/plan';

/** Numbers that one lane goes through alone. */
const SHORT = 32;

export const gpu: GpuPlans = {
  SoftmaxRows: {
    passes: [
      { entry: 'row_alone', workgroups: ([rows, width]) => (width <= SHORT ? ceilDiv(rows, 64) : 0) },
      {
        entry: 'row_together',
        constants: ([, width], grants) => ({ wide: lanesFor(width, grants) }),
        workgroups: ([rows, width]) => (width <= SHORT ? 0 : rows),
      },
    ],
  },
};
