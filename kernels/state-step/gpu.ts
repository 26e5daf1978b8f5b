// How gpu.wgsl takes one token of a linear recurrence: a workgroup shares the sums that it reads of the state.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Value channels of a workgroup in outer_step, and rows of the state in ssd_step: kValues and kRows of gpu.wgsl. */
const VALUES = 32;
const ROWS = 8;

export const gpu: GpuPlans = {
  OuterStep: {
    passes: [{ entry: 'outer_step', workgroups: ([B, G, , , e]) => B * G * ceilDiv(e, VALUES) }],
  },
  SsdStep: {
    passes: [{ entry: 'ssd_step', workgroups: ([b, , H, P]) => b * H * ceilDiv(P, ROWS) }],
  },
};
