// How gpu.wgsl reduces: one lane a result, or 64 where results are few and long.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Numbers that one lane goes through alone. */
const SHORT = 64;
/** Results that fill a GPU with one lane each. */
const MANY = 4096;

const alone = ([outer, n, inner]: readonly number[]) => n <= SHORT || outer * inner >= MANY;

export const gpu: GpuPlans = {
  ReduceAxis: {
    passes: [
      { entry: 'each_alone', workgroups: (ints) => (alone(ints) ? ceilDiv(ints[0] * ints[2], 64) : 0) },
      { entry: 'each_by_64', workgroups: (ints) => (alone(ints) ? 0 : ints[0] * ints[2]) },
    ],
  },
};
