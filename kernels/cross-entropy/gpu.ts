// How gpu.wgsl makes cross-entropy.
import { ceilDiv, type GpuPlans } from '../core/plan';

export const gpu: GpuPlans = {
  CrossEntropy: {
    scratch: ([rows]) => ({ row_loss: rows }),
    passes: [
      { entry: 'rows', workgroups: ([rows]) => rows },
      { entry: 'mean', workgroups: () => 1 },
    ],
  },
  CrossEntropyGrad: {
    scratch: () => ({ factor: 1 }),
    passes: [
      { entry: 'factors', workgroups: () => 1 },
      { entry: 'backward', workgroups: ([rows, V]) => ceilDiv(rows * V, 256) },
    ],
  },
};
