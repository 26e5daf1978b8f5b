// How gpu.wgsl runs LSTM and GRU: a workgroup takes four rows, so that each weight that it reads serves four times.
import { ceilDiv, type GpuPass, type GpuPlan, type GpuPlans } from '../core/plan';

type Ints = readonly number[]; // batch, tokens, hidden

/** Rows of a workgroup: kRows of gpu.wgsl. */
const ROWS = 4;
/** Channels of a workgroup that takes one token: kChannels of gpu.wgsl. */
const CHANNELS = 32;
/** Rows and columns of a tile of the weights' slopes. */
const TILE = 64;

/** A state so narrow goes through all tokens in one workgroup; of a wider one, whose weights one workgroup reads too slowly, many take a token each round. */
const NARROW = 64;
const tokens = ([, count]: Ints) => count;
const passes = (net: number, walk: string, step: string): GpuPass[] => [
  { entry: walk, constants: { net }, workgroups: ([batch, , hidden]) => (hidden <= NARROW ? ceilDiv(batch, ROWS) : 0) },
  {
    entry: step,
    constants: { net },
    rounds: tokens,
    workgroups: ([batch, , hidden]) => (hidden > NARROW ? ceilDiv(batch, ROWS) * ceilDiv(hidden, CHANNELS) : 0),
  },
];

/** Plans of a net with so many gates. */
function plans(net: number): { all: GpuPlan; gradient: GpuPlan; step: GpuPlan } {
  const constants = { net };
  const weights = ([, , hidden]: Ints) => net * hidden * hidden;
  return {
    all: { passes: passes(net, 'forward', 'forward_token') },
    gradient: {
      scratch: (n) => ({ turned: weights(n), carried: n[0] * n[2] }),
      passes: [
        { entry: 'turn', constants, workgroups: (n) => ceilDiv(weights(n), 64) },
        ...passes(net, 'backward', 'backward_token'),
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
