// How gpu.wgsl makes the state-space-dual scan.
import { ceilDiv, type GpuPass, type GpuPlans } from '../core/plan';
import { chunk } from './kernel';

type Ints = readonly number[];

/** Numbers a chunk in `rates` and `through`, and channels summed at once: kRates, kThrough and kWidth of gpu.wgsl. */
const RATES = 323;
const THROUGH = 129;
const WIDTH = 128;

const headChunks = ([batch, T, H]: Ints) => batch * H * ceilDiv(T, chunk);
const groupChunks = ([batch, T, , , G]: Ints) => batch * G * ceilDiv(T, chunk);
const states = (n: Ints) => headChunks(n) * n[3] * n[5];

const prepare: GpuPass = { entry: 'prepare', workgroups: headChunks };
const outer = (adjoint: number): GpuPass => ({
  entry: 'outer',
  constants: { adjoint },
  workgroups: (n) => headChunks(n) * ceilDiv(n[5], 32) * ceilDiv(n[3], WIDTH),
});
const everyState = ([batch, , H, P, , N]: Ints) => ceilDiv(batch * H * P * N, 64);

export const gpu: GpuPlans = {
  SsdScan: {
    scratch: (n) => ({ rates: headChunks(n) * RATES, outers: states(n) }),
    passes: [
      prepare,
      outer(0),
      { entry: 'scan', workgroups: everyState },
      { entry: 'mix', workgroups: (n) => 2 * headChunks(n) },
    ],
  },
  SsdScanGrad: {
    scratch: (n) => ({
      rates: headChunks(n) * RATES,
      outers: states(n),
      leaving: states(n),
      through: headChunks(n) * THROUGH,
      parts: headChunks(n) * 2,
    }),
    passes: [
      prepare,
      outer(1),
      { entry: 'scan_back', workgroups: everyState },
      { entry: 'backward_x', workgroups: (n) => 2 * headChunks(n) },
      { entry: 'backward_C', workgroups: (n) => 2 * groupChunks(n) },
      { entry: 'backward_B', workgroups: (n) => 2 * groupChunks(n) },
      { entry: 'kept', workgroups: headChunks },
      { entry: 'backward_dt', workgroups: headChunks },
      { entry: 'join', workgroups: ([, , H]) => H },
    ],
  },
};
