// How gpu.wgsl makes the embedding and its gradient.
import { ceilDiv, type GpuPlans } from '../core/plan';

export const gpu: GpuPlans = {
  Embedding: {
    passes: [{ entry: 'look_up', workgroups: ([, D, count]) => ceilDiv(count * D, 256) }],
  },
  EmbeddingGrad: {
    scratch: ([, , count]) => ({ order: count, sorted: count }),
    passes: [
      { entry: 'rank', workgroups: ([, , count]) => ceilDiv(count, 256) },
      { entry: 'add', workgroups: ([V, D]) => V * ceilDiv(D, 64) },
    ],
  },
};
