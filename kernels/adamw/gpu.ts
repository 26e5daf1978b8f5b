// How gpu.wgsl makes the steps of AdamW and SGD, and the sum of squares.
import { ceilDiv, type GpuPlans, lanesFor } from '../core/plan';

/** Numbers of a part of the sum: kPart of gpu.wgsl. */
const PART = 4096;
const everywhere = ([n]: readonly number[]) => ceilDiv(n, 256);

export const gpu: GpuPlans = {
  AdamW: { passes: [{ entry: 'adamw', workgroups: everywhere }] },
  Sgd: { passes: [{ entry: 'sgd', workgroups: everywhere }] },
  StoreSound: { passes: [{ entry: 'store_sound', workgroups: everywhere }] },
  SquareSum: {
    scratch: ([n]) => ({ partial: ceilDiv(n, PART) }),
    passes: [
      { entry: 'square_parts', constants: { wide: 256 }, workgroups: ([n]) => ceilDiv(n, PART) },
      {
        entry: 'square_sum',
        constants: ([n], grants) => ({ wide: lanesFor(ceilDiv(n, PART), grants) }),
        workgroups: () => 1,
      },
    ],
  },
};
