// How gpu.wgsl makes dropout.
import { ceilDiv, type GpuPlan, type GpuPlans } from '../core/plan';

/** One invocation draws for four numbers, and those may begin inside a counter's four. */
const plan = (entry: string): GpuPlan => ({
  passes: [{ entry, workgroups: ([count]) => ceilDiv(ceilDiv(count, 4) + 1, 256) }],
});

export const gpu: GpuPlans = { Dropout: plan('forward'), DropoutGrad: plan('backward') };
