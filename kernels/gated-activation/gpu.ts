// How gpu.wgsl makes gated activations.
import { ceilDiv, type GpuPlan, type GpuPlans } from '../core/plan';

const plan = (entry: string): GpuPlan => ({
  passes: [{ entry, workgroups: ([rows, F]) => ceilDiv(rows * F, 256) }],
});

export const gpu: GpuPlans = {
  GatedActivation: plan('forward'),
  GatedActivationGrad: plan('backward'),
  PackedGatedActivation: plan('packed_forward'),
  PackedGatedActivationGrad: plan('packed_backward'),
};
