// What a kernel folder says about its gpu.wgsl, as plain data: the entry points that make a kernel, how far they spread, what lies between them.
//
// The host binds tensors to the shader's variables by name. A `read` variable is the input of that name, or else what an earlier pass wrote, and
// left unread where there is neither; a `read_write` variable is the output of that name or scratch memory; `bind` names another tensor. An output
// whose name an input of the folder bears too is called `<name>_out`; an input whose name WGSL reserves is called `<name>_in`. Of a kernel that works
// in place (`inPlace` in kernel.ts) a `read_write` variable that bears an input's name holds the input's numbers at first.
// The uniform is at binding 0, the storage variables at 1 and on. It starts with `present: u32`, one bit for each input of kernel.ts that is there;
// then come its ints (i32), its floats (f32) and, of a pass with `rounds`, the round (u32).
// An entry point may use 8 storage buffers, 256 invocations a workgroup and 16 KiB of workgroup memory: what every device grants. What some devices
// grant besides is in `Grants`.
// Every .wgsl file of a folder belongs to one module, with core/core.wgsl, one of core/sums*.wgsl and one of core/halves*.wgsl before them.
// Workgroups are counted flat; the host folds them into two dimensions, so a shader asks `flat(group, groups)` and checks it against its own count.

import type { Attrs } from './kernel';

/** What a device grants beyond the least, as far as plans and shaders make use of it. */
export interface Grants {
  /** Sums over a workgroup go by subgroups. */
  subgroups: boolean;
  /**
   * What `half` is in shaders: 16-bit floats where the device has them (`shader-f16`), else undefined and not to be used. `f32` is for tests on devices
   * without: the same code, on the same values in 32 bits.
   */
  half?: 'f16' | 'f32';
  /** Most invocations of a workgroup. */
  invocations: number;
}
/** What every device grants. */
export const LEAST: Grants = { subgroups: false, invocations: 256 };

type Constants = Readonly<Record<string, number>>;

export interface GpuPass {
  /** Entry point in gpu.wgsl. */
  entry: string;
  /** Number of workgroups, from kernel.ts's ints. */
  workgroups(ints: readonly number[], grants: Grants): number;
  /** How often it runs (default: once). Neighbouring passes of one such function take turns: all of them in round 0, then all in round 1. */
  rounds?(ints: readonly number[]): number;
  /** Values of the shader's `override` constants. */
  constants?: Constants | ((ints: readonly number[], grants: Grants) => Constants);
  /** Tensors by the variable that they are bound to in this pass, where their names differ. */
  bind?: Readonly<Record<string, string>>;
}

export interface GpuPlan {
  /** Run one after the other; each sees what those before it wrote. */
  passes: readonly GpuPass[];
  /** Float32 numbers of each scratch variable. */
  scratch?(ints: readonly number[], grants: Grants): Readonly<Record<string, number>>;
  /** Why a shader can't do sizes that kernel.ts allows: a sentence, or undefined if it can. */
  refuses?(ints: readonly number[]): string | undefined;
  /** In place of kernel.ts's ints, for the shader and for the functions of this plan. */
  ints?(ints: readonly number[]): number[];
  /** In place of kernel.ts's floats. */
  floats?(attrs: Attrs): number[];
}

/** The plans of a folder by kernel name. */
export type GpuPlans = Readonly<Record<string, GpuPlan>>;

export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);

/** Lanes of a workgroup that goes through so many numbers: from 64 on, a power of two, as long as each lane has 16 of them. */
export function lanesFor(numbers: number, { invocations }: Grants): number {
  let lanes = 64;
  while (2 * lanes <= Math.min(invocations, 1024) && 32 * lanes <= numbers) lanes *= 2;
  return lanes;
}
