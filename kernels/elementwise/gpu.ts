// How gpu.wgsl makes sine and cosine: one lane a number.
import { ceilDiv, type GpuPlans } from '../core/plan';

export const gpu: GpuPlans = {
  ElementwiseWave: { passes: [{ entry: 'wave', workgroups: ([n]) => ceilDiv(n, 256) }] },
};
