// How gpu.wgsl runs gated linear attention: a lane keeps one row or column of a state through all tokens, and waits for nobody.
import { ceilDiv, type GpuPlans } from '../core/plan';

type Ints = readonly number[]; // batch, T, H, d, Hk, e

const values = ([batch, , , , Hk, e]: Ints) => ceilDiv(batch * Hk * e, 64);
const keys = ([batch, , , d, Hk]: Ints) => ceilDiv(batch * Hk * d, 64);
const state = ([batch, , , d, Hk, e]: Ints) => batch * Hk * d * e;

export const gpu: GpuPlans = {
  GatedLinearScan: {
    scratch: (ints) => ({ memory: state(ints) }),
    passes: [{ entry: 'forward', workgroups: values }],
  },
  GatedLinearScanGrad: {
    // The state, its slopes, and the states within a segment: kSegment of gpu.wgsl.
    scratch: (ints) => ({ memory: 17 * state(ints) }),
    passes: [
      { entry: 'queries', workgroups: keys },
      { entry: 'keys', workgroups: keys },
      { entry: 'values', workgroups: values },
      { entry: 'decays', workgroups: keys },
    ],
  },
};
