// How gpu.wgsl runs the matrix memory of xLSTM: gates and weights of each chunk, what it adds to the memory, the memory from chunk to chunk, outputs.
import { ceilDiv, type GpuPass, type GpuPlans } from '../core/plan';
import { chunk } from './kernel';

type Ints = readonly number[]; // batch, H, T, d, ...

/** Numbers of a chunk in `rates` and `held`: kRates and kHeld of gpu.wgsl. */
const RATES = 12 * chunk;
const HELD = 8;
/** Rows and columns of a tile of channels. */
const TILE = 64;

const rows = ([batch, H]: Ints) => batch * H;
const chunks = (n: Ints) => rows(n) * ceilDiv(n[2], chunk);
const across = (n: Ints) => ceilDiv(n[3], TILE);
const tokens = (n: Ints) => chunks(n) * chunk;
const channels = (n: Ints) => chunks(n) * across(n);
const matrices = (n: Ints) => chunks(n) * across(n) ** 2;
const pairs = (n: Ints) => tokens(n) * chunk;

const weights: GpuPass[] = [
  { entry: 'spans', workgroups: chunks },
  { entry: 'stabilise', workgroups: (n) => ceilDiv(rows(n), 64) },
  { entry: 'weigh', workgroups: chunks },
  { entry: 'pair', workgroups: chunks },
];

export const gpu: GpuPlans = {
  MlstmCell: {
    scratch: (n) => ({
      rates: chunks(n) * RATES,
      held: chunks(n) * HELD,
      weights: pairs(n),
      pairs: pairs(n),
      added: chunks(n) * n[3],
    }),
    passes: [
      ...weights,
      { entry: 'add', workgroups: matrices },
      { entry: 'add_sums', workgroups: channels },
      { entry: 'scan', workgroups: (n) => ceilDiv(rows(n) * (n[3] + 2) * n[3], 64) },
      { entry: 'sizes', workgroups: tokens },
      { entry: 'outputs', workgroups: channels },
    ],
  },
  MlstmCellGrad: {
    scratch: (n) => ({
      rates: chunks(n) * RATES,
      held: chunks(n) * HELD,
      weights: pairs(n),
      pairs: pairs(n),
      slopes: pairs(n),
      reach: tokens(n) * n[3],
      pulled: tokens(n) * n[3],
      leaving: chunks(n) * (n[3] + 1) * n[3],
    }),
    passes: [
      ...weights,
      { entry: 'value_pairs', workgroups: chunks },
      { entry: 'memory_slopes', workgroups: channels },
      { entry: 'recall', workgroups: tokens },
      { entry: 'centre', workgroups: tokens },
      { entry: 'ask', workgroups: matrices },
      { entry: 'scan_back', workgroups: (n) => ceilDiv(rows(n) * n[3] * n[3], 64) },
      { entry: 'scan_back_sums', workgroups: (n) => rows(n) * n[3] },
      { entry: 'pull', workgroups: channels },
      { entry: 'queries', workgroups: channels },
      { entry: 'keys', workgroups: channels },
      { entry: 'values', workgroups: channels },
      { entry: 'kept', workgroups: chunks },
      { entry: 'drifts', workgroups: (n) => ceilDiv(rows(n), 64) },
      { entry: 'gates', workgroups: chunks },
    ],
  },
};
