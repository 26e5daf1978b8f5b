// How gpu.wgsl attends to a cache: stretches of tokens side by side, then joined.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Tokens of a stretch: kStretch of gpu.wgsl. */
const STRETCH = 128;

type Ints = readonly number[];
const heads = ([B, H]: Ints) => B * H;
const stretches = (n: Ints) => heads(n) * ceilDiv(n[5], STRETCH);

export const gpu: GpuPlans = {
  AttentionDecode: {
    scratch: (n) => ({ partial: stretches(n) * (n[9] + 2) }),
    passes: [
      { entry: 'stretch', workgroups: stretches },
      { entry: 'join', workgroups: heads },
    ],
  },
};
