// How gpu.wgsl makes the step of SGD and the sum of squares. AdamW would bind nine buffers, one more than every device grants: its composition serves.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Numbers of a part of the sum: kPart of gpu.wgsl. */
const PART = 4096;
const everywhere = ([n]: readonly number[]) => ceilDiv(n, 256);

export const gpu: GpuPlans = {
  Sgd: { passes: [{ entry: 'sgd', workgroups: everywhere }] },
  SquareSum: {
    scratch: ([n]) => ({ partial: ceilDiv(n, PART) }),
    passes: [
      { entry: 'square_parts', workgroups: ([n]) => ceilDiv(n, PART) },
      { entry: 'square_sum', workgroups: () => 1 },
    ],
  },
};
