// For tests of kernels: calls the native addons directly, one per instruction set of this machine, and compares them with the plain loops.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { expect } from 'vitest';
import { type Arrays, type Attrs, type Kernel, type Plain, type Shapes, sizeOf } from './kernel';

type NativeArray = Float32Array | Float64Array | Int32Array;

/** What kernels/core/addon.cc exports. */
interface Addon {
  isa: string;
  kernels(): string[];
  numbers(shared: Float64Array): void;
  call(kernel: number, inputs: number, outputs: number, ints: number, floats: number, ...arrays: unknown[]): void;
  program(code: Float64Array, places: Float64Array, memories: readonly unknown[]): number;
  halves(code: Float64Array): number[];
  play(program: number, from: number, to: number): void;
  forget(program: number): void;
  threads(count?: number): number;
  poison(on: boolean): void;
  bfloat16(on: boolean): void;
  tiles(use?: 'pairs' | 'unit' | 'loops'): string;
  cpu(): { avx2: boolean; avx512: boolean; avx512bf16: boolean; amx: boolean };
}

export interface Native {
  isa: string;
  threads(count: number): void;
  /** Rounds the inputs of products. */
  bfloat16(on: boolean): void;
  /** The call as it stands: arrays in, arrays out. */
  raw(
    kernel: string,
    inputs: readonly (NativeArray | undefined)[],
    outputs: readonly NativeArray[],
    ints: readonly number[],
    floats: readonly number[],
  ): void;
  /** Which arguments of such a call may hold bfloat16 as products are set now, as bits: inputs, then outputs. */
  able(kernel: string, inputs: number, outputs: number, ints: readonly number[], floats: readonly number[]): number;
  /** `raw` in a program of one call; arrays of 16 bits hold bfloat16. */
  halved(
    kernel: string,
    inputs: readonly (NativeArray | Uint16Array | undefined)[],
    outputs: readonly (NativeArray | Uint16Array)[],
    ints: readonly number[],
    floats: readonly number[],
  ): void;
  /** Rounds the inputs to the kernel's types, fills the outputs with NaN, calls, and gives the outputs. */
  run(kernel: Kernel, inputs: Arrays, shapes: Shapes, attrs: Attrs): Arrays;
}

/** Through which every addon takes a call's numbers: two instruction sets may share one addon. */
const numbers = new Float64Array(256);
/** What runs on tiles is the code of AVX-512-BF16. */
const TILES: Record<string, 'unit' | 'loops'> = { amx: 'unit', 'amx-emulated': 'loops' };

function open(isa: string): Native | undefined {
  const file = resolve(import.meta.dirname, `../../out/native/lab-${TILES[isa] ? 'avx512bf16' : isa}.node`);
  if (!existsSync(file)) return undefined;
  const addon = createRequire(import.meta.url)(file) as Addon;
  if (TILES[isa] === 'unit' && addon.tiles() !== 'ready') return undefined;
  const names = addon.kernels();
  addon.numbers(numbers);
  addon.poison(true);
  const native: Native = {
    isa,
    threads: (count) => void addon.threads(count),
    bfloat16: (on) => addon.bfloat16(on),
    raw(kernel, inputs, outputs, ints, floats) {
      const index = names.indexOf(kernel);
      if (index < 0) throw new Error(`lab-${isa}.node has no kernel ${kernel}; run \`npm run native\``);
      numbers.set(ints);
      numbers.set(floats, ints.length);
      addon.tiles(TILES[isa] ?? 'pairs');
      addon.call(index, inputs.length, outputs.length, ints.length, floats.length, ...inputs, ...outputs);
    },
    able(kernel, inputs, outputs, ints, floats) {
      const absent = new Array(inputs + outputs).fill(-1);
      const head = [names.indexOf(kernel), 0, inputs, outputs, ints.length, floats.length];
      return addon.halves(Float64Array.of(...head, ...absent, ...ints, ...floats))[0];
    },
    halved(kernel, inputs, outputs, ints, floats) {
      const arrays = [...inputs, ...outputs];
      const there = arrays.filter((array) => array !== undefined);
      const bits = arrays.reduce((sum, array, i) => sum + (array instanceof Uint16Array ? 2 ** i : 0), 0);
      const head = [names.indexOf(kernel), bits, inputs.length, outputs.length, ints.length, floats.length];
      const used = arrays.map((array) => (array === undefined ? -1 : there.indexOf(array)));
      const places = Float64Array.from(there.flatMap((_, i) => [i, 0]));
      addon.tiles(TILES[isa] ?? 'pairs');
      const code = Float64Array.of(...head, ...used, ...ints, ...floats);
      const program = addon.program(code, places, [...there, new Float32Array(32)]); // the last one is the arena
      addon.play(program, 0, 1);
      addon.forget(program);
    },
    run(kernel, inputs, shapes, attrs) {
      const refusal = kernel.refuses?.(shapes, attrs);
      if (refusal) throw new Error(`${kernel.name}: ${refusal}`);
      const given = kernel.inputs.map((entry) => {
        const name = entry.replace('?', '');
        const value = inputs[name];
        if (!value) {
          if (entry.endsWith('?')) return undefined;
          throw new Error(`${kernel.name}: no input ${name}`);
        }
        return kernel.dtypes?.[name] === 'int32' ? Int32Array.from(value) : Float32Array.from(value);
      });
      const outputs = Object.entries(kernel.outputs(shapes, attrs));
      const arrays = outputs.map(([, shape]) => new Float32Array(sizeOf(shape)).fill(Number.NaN));
      native.raw(kernel.name, given, arrays, kernel.ints(shapes, attrs), kernel.floats?.(attrs) ?? []);
      return Object.fromEntries(outputs.map(([name], i) => [name, Float64Array.from(arrays[i])]));
    },
  };
  return native;
}

/**
 * The instruction sets that run on this machine. At least one must: a test over none would prove nothing. `emulated` adds the code for tiles (AMX)
 * on loops in their place, where AVX-512-BF16 is there. Call it once a file: an addon has one caller.
 */
export function natives({ emulated = false } = {}): Native[] {
  const found = ['portable', 'neon'].flatMap((isa) => open(isa) ?? []);
  if (found.length === 0) throw new Error('out/native holds no addon; run `npm run native`');
  const cpu = (
    createRequire(import.meta.url)(resolve(import.meta.dirname, `../../out/native/lab-${found[0].isa}.node`)) as Addon
  ).cpu();
  const able = (['avx2', 'avx512', 'avx512bf16', 'amx'] as const).filter((isa) => cpu[isa]);
  const more = emulated && cpu.avx512bf16 ? ['amx-emulated'] : [];
  return [...found, ...[...able, ...more].flatMap((isa) => open(isa) ?? [])];
}

/** Numbers in (0, 1) from a seed, the same everywhere (splitmix32). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (((z ^ (z >>> 15)) >>> 0) + 0.5) / 4294967296;
  };
}

/** `size` float32 numbers in (-1, 1), as float64. */
export function draw(size: number, seed: number): Float64Array {
  const next = uniform(seed);
  return Float64Array.from({ length: size }, () => Math.fround(2 * next() - 1));
}

/** max |a - b| / max(floor, max |b|); NaN on either side counts as infinite. */
export function relativeError(a: Float64Array, b: Float64Array, floor = 1e-6): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (a[i] === b[i]) continue;
    if (!Number.isFinite(difference)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, difference);
  }
  for (const value of b) most = Math.max(most, Math.abs(value));
  return worst / Math.max(floor, most);
}

export interface Check {
  forward: Kernel;
  gradient?: Kernel;
  plain: Record<string, Plain>;
  shapes: Shapes;
  attrs?: Attrs;
  /** Inputs that are not just numbers in (-1, 1). */
  inputs?: Arrays;
  seed?: number;
  /** Errors are relative to this where an output is smaller: the size of the terms, where they cancel (default 1e-6). */
  floor?: number;
}

function prepare({ forward, gradient, plain, shapes, attrs = {}, inputs = {}, seed = 1 }: Check) {
  const given: Arrays = { ...inputs };
  Object.entries(shapes).forEach(([name, shape], i) => {
    given[name] ??= draw(sizeOf(shape), seed * 100 + i);
  });
  const outputs = plain[forward.name](given, shapes, attrs);
  const rule = forward.gradient;
  const outputShapes = forward.outputs(shapes, attrs);
  const cotangents: Arrays = {};
  rule?.cotangents.forEach((name, i) => {
    cotangents[`d${name}`] = draw(sizeOf(outputShapes[name]), seed * 100 + 50 + i);
  });
  const gradientShapes: Record<string, readonly number[]> = { ...shapes, ...outputShapes };
  for (const name of rule?.cotangents ?? []) gradientShapes[`d${name}`] = outputShapes[name];
  /** What the gradient kernel is fed, from the forward's inputs and outputs. */
  const feed = (from: Arrays): Arrays => ({
    ...Object.fromEntries(rule!.inputs.filter((name) => given[name]).map((name) => [name, given[name]])),
    ...Object.fromEntries(rule!.outputs.map((name) => [name, from[name]])),
    ...cotangents,
  });
  return { given, outputs, cotangents, gradientShapes, feed, rule, gradient, attrs };
}

/**
 * Runs the kernel (and its gradient, fed by its own outputs) on NaN-filled outputs and expects every output to agree with the plain loops within
 * `tolerance`, relative to the largest entry. Gives the errors by name, for the curious.
 */
export function expectAgreement(native: Native, check: Check, tolerance: number): Record<string, number> {
  const { given, outputs, gradientShapes, feed, rule, gradient, attrs } = prepare(check);
  const own = native.run(check.forward, given, check.shapes, attrs);
  const slopes = rule && gradient && native.run(gradient, feed(own), gradientShapes, attrs);
  const wanted = rule && gradient && check.plain[gradient.name](feed(outputs), gradientShapes, attrs);
  return compared(native.isa, check, { own, outputs, slopes, wanted }, tolerance);
}

/** A device whose results take a while: rounds the inputs to the kernel's types, fills the outputs with NaN, calls, and gives the outputs. */
export type Run = (kernel: Kernel, inputs: Arrays, shapes: Shapes, attrs: Attrs) => Promise<Arrays>;

/** As `expectAgreement`, on a device that answers later. */
export async function expectAgreementOn(device: string, run: Run, check: Check, tolerance: number) {
  const { given, outputs, gradientShapes, feed, rule, gradient, attrs } = prepare(check);
  const own = await run(check.forward, given, check.shapes, attrs);
  const slopes = rule && gradient && (await run(gradient, feed(own), gradientShapes, attrs));
  const wanted = rule && gradient && check.plain[gradient.name](feed(outputs), gradientShapes, attrs);
  return compared(device, check, { own, outputs, slopes, wanted }, tolerance);
}

interface Results {
  own: Arrays;
  outputs: Arrays;
  slopes?: Arrays;
  wanted?: Arrays;
}

function compared(device: string, check: Check, { own, outputs, slopes, wanted }: Results, tolerance: number) {
  const { forward, gradient, floor } = check;
  const errors: Record<string, number> = {};
  for (const [name, value] of Object.entries(own)) errors[name] = relativeError(value, outputs[name], floor);
  if (slopes && wanted) {
    for (const name of forward.gradient!.of) expect(slopes, `outputs of ${gradient!.name}`).toHaveProperty(`d${name}`);
    for (const [name, value] of Object.entries(slopes)) errors[name] = relativeError(value, wanted[name], floor);
  }
  for (const [name, error] of Object.entries(errors))
    expect(error, `${forward.name} on ${device}: ${name}`).toBeLessThanOrEqual(tolerance);
  return errors;
}

/**
 * Expects the plain gradient to be the slope of the plain forward: central differences of Σ cotangent · output at a few entries of each input.
 * In float64 a step of 1e-5 leaves about 1e-9 of the largest slope, so 1e-6 is generous and still catches any wrong term.
 */
export function expectSlopes(check: Check): void {
  const { given, outputs, cotangents, gradientShapes, feed, rule, attrs } = prepare(check);
  const { plain, forward, shapes } = check;
  const slopes = plain[rule!.kernel](feed(outputs), gradientShapes, attrs);
  const scalar = (inputs: Arrays): number => {
    const at = plain[forward.name](inputs, shapes, attrs);
    return rule!.cotangents.reduce(
      (sum, name) => sum + at[name].reduce((s, value, i) => s + value * cotangents[`d${name}`][i], 0),
      0,
    );
  };
  const step = 1e-5;
  for (const name of rule!.of.filter((input) => given[input])) {
    const next = uniform(7);
    const most = slopes[`d${name}`].reduce((a, b) => Math.max(a, Math.abs(b)), 1e-3);
    for (let probe = 0; probe < Math.min(8, given[name].length); probe++) {
      const i = Math.floor(next() * given[name].length);
      const moved = (by: number) => ({
        ...given,
        [name]: given[name].map((value, j) => (j === i ? value + by : value)),
      });
      const slope = (scalar(moved(step)) - scalar(moved(-step))) / (2 * step);
      expect(Math.abs(slope - slopes[`d${name}`][i]) / most, `d${name}[${i}]`).toBeLessThan(1e-6);
    }
  }
}
