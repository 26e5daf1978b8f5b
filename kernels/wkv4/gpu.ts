// How gpu.wgsl runs RWKV-4's mean: a lane goes through all tokens of a channel.
import { ceilDiv, type GpuPlans } from '../core/plan';

const channels = ([batch, , C]: readonly number[]) => ceilDiv(batch * C, 64);

export const gpu: GpuPlans = {
  Wkv4: { passes: [{ entry: 'forward', workgroups: channels }] },
  Wkv4Grad: {
    scratch: ([batch, T, C]) => ({ trail: batch * C * (3 * T + 2) }),
    passes: [
      { entry: 'backward', workgroups: channels },
      { entry: 'weights', workgroups: ([, , C]) => ceilDiv(C, 64) },
    ],
  },
};
