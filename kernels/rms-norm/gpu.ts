// How gpu.wgsl makes RMSNorm, plain and gated.
import { ceilDiv, type GpuPlan, type GpuPlans } from '../core/plan';

/** Rows of a part of dweight's sum: kRows of gpu.wgsl. */
const ROWS = 64;

const plans = (gated: number): { forward: GpuPlan; gradient: GpuPlan } => {
  const constants = { gated };
  return {
    forward: { passes: [{ entry: 'forward', constants, workgroups: ([rows, , groups]) => rows * groups }] },
    gradient: {
      scratch: ([rows, width]) => ({ partial: ceilDiv(rows, ROWS) * width }),
      passes: [
        { entry: 'backward', constants, workgroups: ([rows, , groups]) => rows * groups },
        {
          entry: 'weight_parts',
          constants,
          workgroups: ([rows, width]) => ceilDiv(rows, ROWS) * ceilDiv(width, 64),
        },
        { entry: 'weight_sum', workgroups: ([, width]) => ceilDiv(width, 64) },
      ],
    },
  };
};

const whole = plans(0);
const gated = plans(1);

export const gpu: GpuPlans = {
  RmsNorm: whole.forward,
  RmsNormGrad: whole.gradient,
  GatedRmsNorm: gated.forward,
  GatedRmsNormGrad: gated.gradient,
};
