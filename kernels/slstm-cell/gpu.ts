// How gpu.wgsl runs the scalar memory of xLSTM: a workgroup goes through all tokens of a head, and its lanes share what the last token gave.
import { ceilDiv, type GpuPlans } from '../core/plan';

type Ints = readonly number[]; // batch, T, H, d

/** Channels of a head: `kMost` of gpu.wgsl. */
const MOST = 1024;

const heads = ([batch, , H]: Ints) => batch * H;

export const gpu: GpuPlans = {
  SlstmCell: {
    refuses: ([, , , d]) => (d > MOST ? `a head has ${d} channels, and may have ${MOST}; take more heads` : undefined),
    passes: [{ entry: 'forward', workgroups: heads }],
  },
  SlstmCellGrad: {
    passes: [
      { entry: 'backward', workgroups: heads },
      { entry: 'recurrent_weights', workgroups: ([, , H, d]) => ceilDiv(4 * H * d * d, 64) },
      { entry: 'biases', workgroups: ([, , H, d]) => ceilDiv(4 * H * d, 64) },
    ],
  },
};
