// How gpu.wgsl runs RWKV-7's delta rule. Inputs and outputs are more than a shader may bind, so they are packed into one buffer first.
import { ceilDiv, type GpuPlans } from '../core/plan';

type Ints = readonly number[]; // rows, T, N

const numbers = ([rows, T, N]: Ints) => rows * T * N;
const everywhere = (ints: Ints) => ceilDiv(numbers(ints), 64);

export const gpu: GpuPlans = {
  Wkv7: {
    scratch: (ints) => ({ pack: 2 * numbers(ints) + ints[0] * ints[2] ** 2 }),
    passes: [
      { entry: 'pack_directions', workgroups: everywhere },
      { entry: 'forward', workgroups: ([rows, , N]) => ceilDiv(rows * N, 64) },
    ],
  },
  Wkv7Grad: {
    // Seven inputs and six outputs; the states of a segment, slopes and two vectors of each row.
    scratch: (ints) => ({ pack: 13 * numbers(ints), memory: ints[0] * (18 * ints[2] ** 2 + 2 * ints[2]) }),
    passes: [
      { entry: 'pack_rest', workgroups: everywhere },
      { entry: 'pack_slopes', workgroups: everywhere },
      { entry: 'backward', workgroups: ([rows]) => rows },
      { entry: 'unpack', workgroups: everywhere },
    ],
  },
};
