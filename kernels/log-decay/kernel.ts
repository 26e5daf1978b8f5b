// Logarithms of decays from raw gates: the share of a log sigmoid, no less than a floor.
import { defineKernel, type Kernel, sizeOf } from '../core/kernel';

/**
 * x of any shape to y = max(floor, share · ln σ(x)), at most 0. Attributes: `share`, above 0, and `floor`, at most 0, which may be -Infinity. The gradient
 * reads y alone; entries at the floor get none.
 */
export const logDecay = defineKernel({
  name: 'LogDecay',
  inputs: ['x'],
  outputs: ({ x }) => ({ y: x }),
  ints: ({ x }) => [sizeOf(x)],
  floats: ({ share, floor }) => [Number(share), Number(floor)],
  refuses(_, { share, floor }) {
    if (!(Number(share) > 0)) return `share must be above 0, not ${share}`;
    return Number(floor) <= 0 ? undefined : `floor must be at most 0, not ${floor}`;
  },
  gradient: { kernel: 'LogDecayGrad', inputs: [], outputs: ['y'], cotangents: ['y'], of: ['x'] },
});

export const logDecayGrad = defineKernel({
  name: 'LogDecayGrad',
  inputs: ['y', 'dy'],
  outputs: ({ y }) => ({ dx: y }),
  ints: ({ y }) => [sizeOf(y)],
  floats: ({ share, floor }) => [Number(share), Number(floor)],
});

export const kernels: Kernel[] = [logDecay, logDecayGrad];
