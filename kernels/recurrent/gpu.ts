// How gpu.wgsl runs LSTM and GRU: a workgroup takes four rows through all tokens, so that each weight that it reads serves four times.
import { ceilDiv, type GpuPass, type GpuPlan, type GpuPlans } from '../core/plan';

type Ints = readonly number[]; // batch, tokens, hidden

/** Rows of a workgroup: kRows of gpu.wgsl. */
const ROWS = 4;
/** Channels of a workgroup that takes one token: kChannels of gpu.wgsl. */
const CHANNELS = 32;
/** Rows and columns of a tile of the weights' slopes. */
const TILE = 64;

/** Narrow states don't fill a workgroup of 256 lanes; every device grants those. */
const walks = (entry: string, net: number): GpuPass[] =>
  [64, 256].map((wide) => ({
    entry,
    constants: { net, wide },
    workgroups: ([batch, , hidden]) => (hidden <= 64 === (wide === 64) ? ceilDiv(batch, ROWS) : 0),
  }));

/** Plans of a net with so many gates. */
function plans(net: number): { all: GpuPlan; gradient: GpuPlan; step: GpuPlan } {
  const constants = { net };
  const weights = ([, , hidden]: Ints) => net * hidden * hidden;
  return {
    all: { passes: walks('forward', net) },
    gradient: {
      scratch: (n) => ({ turned: weights(n), carried: n[0] * n[2] }),
      passes: [
        { entry: 'turn', constants, workgroups: (n) => ceilDiv(weights(n), 64) },
        ...walks('backward', net),
        {
          entry: 'weight_slopes',
          constants,
          workgroups: ([, , hidden]) => ceilDiv(hidden, TILE) * ceilDiv(net * hidden, TILE),
        },
        { entry: 'bias_slopes', constants, workgroups: ([, , hidden]) => (net === 3 ? ceilDiv(3 * hidden, TILE) : 0) },
      ],
    },
    step: {
      passes: [{ entry: 'one_token', constants, workgroups: ([batch, , hidden]) => batch * ceilDiv(hidden, CHANNELS) }],
    },
  };
}

const lstm = plans(4);
const gru = plans(3);

export const gpu: GpuPlans = {
  Lstm: lstm.all,
  LstmGrad: lstm.gradient,
  LstmStep: lstm.step,
  Gru: gru.all,
  GruGrad: gru.gradient,
  GruStep: gru.step,
};
