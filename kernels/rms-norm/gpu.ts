// How gpu.wgsl makes RMSNorm: plain, gated, and of a sum.
import { ceilDiv, type GpuPlan, type GpuPlans, type Grants, lanesFor } from '../core/plan';

/** Rows of a part of dweight's sum: kRows of gpu.wgsl. */
const ROWS = 64;

interface Kind {
  gated?: number;
  added?: number;
  /** Other names than those in gpu.wgsl: of the result, of what is normalised for the gradient, and of the result's gradient. */
  y?: string;
  x?: string;
  dy?: string;
}
const plans = ({
  gated = 0,
  added = 0,
  y = 'y',
  x = 'x',
  dy = 'dy',
}: Kind): { forward: GpuPlan; gradient: GpuPlan } => {
  const constants = { gated, added };
  /** Of a workgroup that has a group of a row. */
  const byWidth = ([, width, groups]: readonly number[], grants: Grants) => ({
    ...constants,
    wide: lanesFor(width / groups, grants),
  });
  const each = ([rows, , groups]: readonly number[]) => rows * groups;
  const bind = { x, dy };
  return {
    forward: { passes: [{ entry: 'forward', constants: byWidth, bind: { y }, workgroups: each }] },
    gradient: {
      scratch: ([rows, width]) => ({ partial: ceilDiv(rows, ROWS) * width }),
      passes: [
        { entry: 'backward', constants: byWidth, bind, workgroups: each },
        {
          entry: 'weight_parts',
          constants,
          bind,
          workgroups: ([rows, width]) => ceilDiv(rows, ROWS) * ceilDiv(width, 64),
        },
        { entry: 'weight_sum', workgroups: ([, width]) => ceilDiv(width, 64) },
      ],
    },
  };
};

const whole = plans({});
const gated = plans({ gated: 1 });
const added = plans({ added: 1, y: 'u', x: 'sum', dy: 'du' });

export const gpu: GpuPlans = {
  RmsNorm: whole.forward,
  RmsNormGrad: whole.gradient,
  AddRmsNorm: added.forward,
  AddRmsNormGrad: added.gradient,
  GatedRmsNorm: gated.forward,
  GatedRmsNormGrad: gated.gradient,
};
