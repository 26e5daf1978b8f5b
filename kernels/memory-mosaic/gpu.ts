// How gpu.wgsl makes keys and values of Memory Mosaics: leaky sums by segments, then rows brought to their length.
import { ceilDiv, type GpuPass, type GpuPlan, type GpuPlans } from '../core/plan';

/** Tokens of a segment: kSpan of gpu.wgsl. */
const SPAN = 64;

type Ints = readonly number[];
const numbers = ([B, T, H, d]: Ints) => B * T * H * d;
const rows = ([B, T, H]: Ints) => B * T * H;
/** One for each channel of each segment. */
const carries = ([B, T, H, d]: Ints) => B * ceilDiv(T, SPAN) * H * d;
const heads = ([, , H]: Ints) => H;

/** Sums of `terms` over the tokens before, or after, in `sums` and `carries`. */
const leaky = (terms: string, sums: string, kept: string, back = 0): GpuPass[] => [
  {
    entry: 'segment_sums',
    constants: { back },
    bind: { scalar: 'leak', terms, sums_out: sums },
    workgroups: (n) => ceilDiv(carries(n), 64),
  },
  {
    entry: 'carry_sums',
    constants: { back },
    bind: { scalar: 'leak', sums, carries_out: kept },
    workgroups: ([B, , H, d]) => ceilDiv(B * H * d, 64),
  },
];
const sums = leaky('u', 'sums', 'carries');
const sumsOf = (n: Ints) => ({ sums: numbers(n), carries: carries(n) });
const slopesOf = (n: Ints) => ({ slopes: numbers(n), facts: 2 * rows(n) });

const toLength = (mixed: number, scalar: string, result: string): GpuPass => ({
  ...{ entry: 'to_length', constants: { mixed }, bind: { scalar, result }, workgroups: rows },
});
const toLengthSlopes = (mixed: number, scalar: string, result_slopes: string): GpuPass => ({
  ...{ entry: 'to_length_slopes', constants: { mixed }, bind: { scalar, result_slopes } },
  workgroups: rows,
});

/** Values know no power of their length. */
const floats: GpuPlan['floats'] = ({ rawScaling, epsilon }) => [Number(rawScaling), Number(epsilon), 1];

export const gpu: GpuPlans = {
  LeakyKeys: { scratch: sumsOf, passes: [...sums, toLength(0, 'leak', 'k')] },
  LeakyKeysGrad: {
    scratch: (n) => ({
      ...{ ...sumsOf(n), ...slopesOf(n), leak_parts: carries(n) },
      ...{ after_sums: numbers(n), after_carries: carries(n) },
    }),
    passes: [
      ...[...sums, toLengthSlopes(0, 'leak', 'dk'), ...leaky('slopes', 'after_sums', 'after_carries', 1)],
      { entry: 'leaky_slopes', bind: { scalar: 'leak' }, workgroups: (n) => ceilDiv(carries(n), 64) },
      { entry: 'key_scalars', bind: { scalar: 'leak' }, workgroups: heads },
    ],
  },
  MixedValues: { floats, passes: [toLength(1, 'mix', 'v')] },
  MixedValuesGrad: {
    floats,
    scratch: slopesOf,
    passes: [
      toLengthSlopes(1, 'mix', 'dv'),
      { entry: 'mixture_slopes', bind: { scalar: 'mix' }, workgroups: (n) => ceilDiv(numbers(n), 256) },
      { entry: 'value_scalars', workgroups: heads },
    ],
  },
};
