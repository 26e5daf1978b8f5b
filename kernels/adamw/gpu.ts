// How gpu.wgsl makes the optimiser steps and the sum of squares.
import { ceilDiv, type GpuPlans } from '../core/plan';
import { adamw } from './kernel';

/** Numbers of a part of the sum: kPart of gpu.wgsl. */
const PART = 4096;
const everywhere = ([n]: readonly number[]) => ceilDiv(n, 256);

export const gpu: GpuPlans = {
  AdamW: {
    floats(attrs) {
      const [beta1, beta2, eps, keep, step, root] = adamw.floats!(attrs);
      // Taken in float64: 1 - β of a rounded β would be off by much more than a rounding.
      return [beta1, beta2, 1 - beta1, 1 - beta2, eps, keep, step, 1 / root];
    },
    passes: [{ entry: 'adamw', workgroups: everywhere }],
  },
  Sgd: { passes: [{ entry: 'sgd', workgroups: everywhere }] },
  SquareSum: {
    scratch: ([n]) => ({ partial: ceilDiv(n, PART) }),
    passes: [
      { entry: 'square_parts', workgroups: ([n]) => ceilDiv(n, PART) },
      { entry: 'square_sum', workgroups: () => 1 },
    ],
  },
};
