// How gpu.wgsl makes activations, gated and alone.
import { ceilDiv, type GpuPlan, type GpuPlans } from '../core/plan';

const plan = (entry: string): GpuPlan => ({
  passes: [{ entry, workgroups: ([rows, F]) => ceilDiv(rows * F, 256) }],
});

const alone = (entry: string): GpuPlan => ({ passes: [{ entry, workgroups: ([n]) => ceilDiv(n, 256) }] });

export const gpu: GpuPlans = {
  Activation: alone('alone_forward'),
  ActivationGrad: alone('alone_backward'),
  GatedActivation: plan('forward'),
  GatedActivationGrad: plan('backward'),
  PackedGatedActivation: plan('packed_forward'),
  PackedGatedActivationGrad: plan('packed_backward'),
};
