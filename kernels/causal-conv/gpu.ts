// How gpu.wgsl makes the causal convolution.
import { ceilDiv, type GpuPlans } from '../core/plan';

/** Rows of a part of the weights' sums: kRows of gpu.wgsl. */
const ROWS = 64;
const everywhere = ([B, T, C]: readonly number[]) => ceilDiv(B * T * C, 256);

export const gpu: GpuPlans = {
  CausalConv: { passes: [{ entry: 'forward', workgroups: everywhere }] },
  CausalConvGrad: {
    scratch: ([B, T, C, K]) => ({ du: B * T * C, partial: ceilDiv(B * T, ROWS) * (K + 1) * C }),
    passes: [
      { entry: 'slopes', workgroups: everywhere },
      { entry: 'inputs', workgroups: everywhere },
      {
        entry: 'weight_parts',
        workgroups: ([B, T, C, K]) => ceilDiv(B * T, ROWS) * (K + 1) * ceilDiv(C, 64),
      },
      { entry: 'weight_sum', workgroups: ([, , C, K]) => ceilDiv((K + 1) * C, 64) },
    ],
  },
};
