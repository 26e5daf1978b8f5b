// How gpu.wgsl makes what stands around the products; src-main/ops/webgpu/ops puts both together.
import { ceilDiv, type GpuPass, type GpuPlans, lanesFor } from '../core/plan';

/** The gradient of x (0) or w (1), by number of kernel.ts's ints. */
const scale = (second: 0 | 1, slope: string, scaled: string): GpuPass => ({
  entry: 'scale_slopes',
  constants: { second },
  bind: { slope, scaled },
  workgroups: (n) => ceilDiv(n[second], 256),
});

/** Lanes by the length of a row of logits, and by the number of rows. */
const byClasses: GpuPass['constants'] = ([, V], grants) => ({ wide: lanesFor(V, grants) });
const byRows: GpuPass['constants'] = ([rows], grants) => ({ wide: lanesFor(rows, grants) });

export const gpu: GpuPlans = {
  GradedCount: { passes: [{ entry: 'count_graded', constants: byRows, workgroups: () => 1 }] },
  PieceOfLoss: { passes: [{ entry: 'piece_rows', constants: byClasses, workgroups: ([rows]) => rows }] },
  AddPart: { passes: [{ entry: 'add_part', workgroups: ([n]) => ceilDiv(n, 256) }] },
  SumOfLosses: { passes: [{ entry: 'sum_losses', constants: byRows, workgroups: () => 1 }] },
  LinearCrossEntropyGrad: { passes: [scale(0, 'slopeX', 'dx'), scale(1, 'slopeW', 'dw')] },
};
