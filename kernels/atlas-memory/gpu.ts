// How gpu.wgsl runs the memory of ATLAS: a workgroup takes a memory through all tokens. Inputs and outputs are more than a shader may bind, so those of
// tokens lie in one buffer, a memory after the other, and matrices in the memory that the workgroup works in.
import { ceilDiv, type GpuPass, type GpuPlan, type GpuPlans } from '../core/plan';
import { SEGMENT } from './kernel';

type Ints = readonly number[]; // memories, starts, T, behind, F, h, d, window, chunk, steps, position

/** Numbers of tokens: see kPack of gpu.wgsl. */
const packed = ([R, , T, behind, F, , d]: Ints) => R * ((behind + T) * (F + 2 * d + 1) + T * (d + F + 3));
/** Sides of the matrices. */
const sides = ([, , , , F, h, d]: Ints) =>
  h > 0
    ? [
        [F, h],
        [h, d],
      ]
    : [[F, d]];
const numbers = (n: Ints) => sides(n).reduce((sum, [a, b]) => sum + a * b, 0);
const squares = (n: Ints) => sides(n).reduce((sum, [a, b]) => sum + Math.min(a, b) ** 2, 0);
/** Rows of lessons at once. */
const rowsOf = ([, , T, behind, , , , window]: Ints) => SEGMENT - 1 + Math.min(window, behind + T);
const trace = (n: Ints) => n[9] * (numbers(n) + 2 * squares(n)) + numbers(n);
const lessons = (n: Ints) => rowsOf(n) * (4 * n[5] + 2 * n[6]);

/** What a memory needs besides its tokens: as gpu.wgsl and gpu_gradient.wgsl lay it out. */
const forwardSize = (n: Ints) => 3 * numbers(n) + trace(n) + lessons(n) + n[5];
const gradientSize = (n: Ints) =>
  forwardSize(n) +
  (2 * (SEGMENT + 1) + 5) * numbers(n) +
  2 * squares(n) +
  n[5] +
  rowsOf(n) * (n[4] + 3 * n[5] + Math.max(n[5], n[6]) + 2 * n[6]);

const constants = (n: Ints) => ({ wide: numbers(n) <= 256 ? 64 : 256 });
const everyToken = ([R, , T, behind]: Ints) => ceilDiv(R * (behind + T), 64);
const everyNew = ([R, , T]: Ints) => ceilDiv(R * T, 64);
const pack: GpuPass[] = [
  { entry: 'pack_rows', workgroups: everyToken },
  { entry: 'pack_queries', workgroups: everyNew },
];
const whole = (entry: string, given: Record<string, number> = {}): GpuPass => ({
  entry,
  constants: (n) => ({ ...constants(n), ...given }),
  workgroups: ([R]) => R,
});

const all: GpuPlan = {
  scratch: (n) => ({ pack: packed(n), memory: n[0] * forwardSize(n) }),
  passes: [...pack, { entry: 'begin', workgroups: ([R]) => R }, whole('read_tokens', { keeps: 1 })],
};
const step: GpuPlan = {
  scratch: (n) => ({ pack: packed(n), memory: n[0] * forwardSize(n), states_out: 1 }),
  passes: [
    ...pack,
    { entry: 'resume', workgroups: ([R]) => R },
    whole('read_tokens', { keeps: 0 }),
    { entry: 'leave', workgroups: ([R]) => R },
  ],
};
const gradient: GpuPlan = {
  scratch: (n) => ({ pack: packed(n), memory: n[0] * gradientSize(n), slopes: packed(n) + n[0] * numbers(n) }),
  passes: [
    ...pack,
    whole('backward'),
    { entry: 'unpack_rows', workgroups: everyToken },
    { entry: 'unpack_queries', workgroups: everyNew },
    { entry: 'starts', workgroups: (n) => ceilDiv(n[1] * numbers(n), 64) },
  ],
};

export const gpu: GpuPlans = { AtlasMemory: all, AtlasMemoryStep: step, AtlasMemoryGrad: gradient };
