// How gpu.wgsl blends tokens with those before them: a pass for each blend, since all in one would take too many buffers.
import { ceilDiv, type GpuPass, type GpuPlan, type GpuPlans } from '../core/plan';
import { COUNTS } from './kernel';

type Ints = readonly number[]; // B, T, D, ...

/** Tokens of a part of a share's slope: kPart of gpu.wgsl. */
const PART = 64;

const numbers = ([B, T, D]: Ints) => ceilDiv(B * T * D, 256);
const parts = ([B, T]: Ints) => ceilDiv(B * T, PART);
const channels = ([, , D]: Ints) => ceilDiv(D, 64);

const blend = (i: number): GpuPass => ({ entry: 'blend', bind: { w: `w${i}`, y: `y${i}` }, workgroups: numbers });
const slopes = (i: number): GpuPass[] => [
  {
    entry: 'token_slopes',
    constants: { begun: Number(i > 0) },
    bind: { w: `w${i}`, dy: `dy${i}` },
    workgroups: numbers,
  },
  { entry: 'share_parts', bind: { dy: `dy${i}` }, workgroups: (n) => parts(n) * channels(n) },
  { entry: 'share_sums', bind: { dw: `dw${i}` }, workgroups: channels },
];
const each = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

export const gpu: GpuPlans = Object.fromEntries(
  COUNTS.flatMap((count): [string, GpuPlan][] => [
    [`TokenMix${count}`, { passes: each(count).map(blend) }],
    [
      `TokenMix${count}Grad`,
      { scratch: (n) => ({ partial: parts(n) * n[2] }), passes: each(count).flatMap((i) => slopes(i)) },
    ],
  ]),
);
