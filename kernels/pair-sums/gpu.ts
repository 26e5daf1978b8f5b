// How gpu.wgsl sums between all pairs of tokens.
import { ceilDiv, type GpuPlans } from '../core/plan';

type Ints = readonly number[];
const pairs = ([n, T]: Ints) => ceilDiv(n * T * T, 256);
const channels = ([n, T, d]: Ints) => ceilDiv(n * T * d, 64);

export const gpu: GpuPlans = {
  WaveSums: { passes: [{ entry: 'waves', workgroups: pairs }] },
  WaveSumsGrad: { passes: [{ entry: 'wave_slopes', workgroups: channels }] },
  ReciprocalSums: { passes: [{ entry: 'reciprocals', workgroups: pairs }] },
  ReciprocalSumsGrad: {
    passes: [
      { entry: 'row_slopes', workgroups: channels },
      { entry: 'column_slopes', workgroups: channels },
    ],
  },
};
