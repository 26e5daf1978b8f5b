// Runs the fused kernels of kernels/ on the GPU: every folder with a gpu.ts is found, and its kernels are registered with the backend `webgpu`.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Attrs, Kernel, Shapes } from '../../../kernels/core/kernel';
import type { GpuPass, GpuPlan, GpuPlans, Grants } from '../../../kernels/core/plan';
import { dtypeOf, kernels, readName, shapesOf } from '../kernels';
import * as tf from '../tf';
import type { FusedBackend } from './dispatch';
import { type Variable, variablesOf } from './shader';
import { moduleOf } from './sources';

const plans = import.meta.glob<GpuPlans>('../../../kernels/*/gpu.ts', { eager: true, import: 'gpu' });
/** Numbers in a call's uniform: the inputs' bits, ints and floats. */
const UNIFORM_BYTES = 128;
/** Where every shader has its uniform. */
const UNIFORM_AT = 0;
/** Workgroups along x; the rest goes along y. Both stay below the 65,535 that every device grants. */
const WIDEST = 32768;

interface Shader {
  kernel: Kernel;
  plan: GpuPlan;
  /** As `moduleOf` takes it. */
  folder: string;
}

interface Pass {
  variables: readonly Variable[];
  pipeline: GPUComputePipeline;
}

const shaders = new Map<string, Shader>();

/** Registers every kernel that has a shader with the backend `webgpu`. */
export function registerFused(): void {
  for (const [file, plansOfFolder] of Object.entries(plans)) {
    for (const [name, plan] of Object.entries(plansOfFolder)) {
      const kernel = kernels.get(name);
      if (!kernel) throw new Error(`internal: ${file} is for ${name}, which no kernel.ts names`);
      const shader: Shader = { kernel, plan, folder: file.slice(0, -'gpu.ts'.length) };
      shaders.set(name, shader);
      tf.registerKernel({
        kernelName: name,
        backendName: 'webgpu',
        kernelFunc: ({ inputs, attrs, backend }) =>
          call(backend as FusedBackend, shader, inputs as Inputs, (attrs ?? {}) as Attrs),
      });
    }
  }
}

/**
 * Runs a kernel outside TF.js's registry: what it makes is the caller's. Shapes and types are the caller's care too.
 * @param into tensors to write outputs to, by name; for kernels that work in place.
 */
export const callFused = (
  backend: FusedBackend,
  name: string,
  inputs: Inputs,
  attrs: Attrs,
  into: Readonly<Record<string, Piece>> = {},
): TensorInfo[] => call(backend, shaders.get(name)!, inputs, attrs, into);

/** A tensor, or so much of one as its shape says, from number `from` on: a multiple of 64, since devices bind at multiples of 256 bytes. */
export interface Piece extends TensorInfo {
  from?: number;
}
export type Inputs = Readonly<Record<string, Piece | undefined>>;

function call(
  backend: FusedBackend,
  { kernel, plan, folder }: Shader,
  inputs: Inputs,
  attrs: Attrs,
  into: Readonly<Record<string, Piece>> = {},
): TensorInfo[] {
  const { grants } = backend;
  const shapes = shapesOf(inputs);
  const own = kernel.ints(shapes, attrs);
  const ints = plan.ints?.(own) ?? own;
  const why = plan.refuses?.(ints);
  if (why) throw new Error(`${kernel.name} on the GPU: ${why}`);
  const outputs = kernel.outputs(shapes, attrs);
  const made = new Map<string, Piece>();
  for (const [name, shape] of Object.entries(outputs)) {
    const output = into[name] ?? backend.fresh(shape, dtypeOf(kernel, name));
    if (into[name]) backend.forgetValues(output);
    else if (kernel.inPlace && inputs[name]) backend.copy(inputs[name], output);
    made.set(name, output);
  }
  const scratch = Object.entries(plan.scratch?.(ints, grants) ?? {}).map(([name, size]) => {
    const info = backend.fresh([size], 'float32');
    made.set(name, info);
    return info;
  });
  const floats = (plan.floats ?? kernel.floats)?.(attrs) ?? [];
  for (const { pass, round } of inTurn(plan.passes, ints)) {
    const count = pass.workgroups(ints, grants);
    if (count === 0) continue;
    const constants = typeof pass.constants === 'function' ? pass.constants(ints, grants) : pass.constants;
    const { pipeline, variables } = compiled(backend, folder, pass, constants);
    const tensors = variables.map(({ name: variable, binding, writable }) => {
      const name = pass.bind?.[variable] ?? variable;
      const info = writable
        ? (made.get(name) ?? made.get(name.replace(/_out$/, '')))
        : (inputs[name.replace(/_in$/, '')] ?? made.get(name));
      return { binding, writable, info, from: info?.from };
    });
    const x = Math.min(count, WIDEST);
    const uniform = words(kernel, shapes, ints, floats, round);
    backend.dispatch(pipeline, tensors, uniform, UNIFORM_AT, [x, Math.ceil(count / x)]);
  }
  for (const { dataId } of scratch) backend.disposeData(dataId);
  return Object.keys(outputs).map((name) => made.get(name)!);
}

/** The passes in the order in which they run. */
function* inTurn(passes: readonly GpuPass[], ints: readonly number[]): Generator<{ pass: GpuPass; round: number }> {
  for (let begin = 0; begin < passes.length; ) {
    const { rounds } = passes[begin];
    let end = begin + 1;
    while (rounds && passes[end]?.rounds === rounds) end++;
    for (let round = 0; round < (rounds?.(ints) ?? 1); round++)
      for (const pass of passes.slice(begin, end)) yield { pass, round };
    begin = end;
  }
}

function words(
  kernel: Kernel,
  shapes: Shapes,
  ints: readonly number[],
  floats: readonly number[],
  round: number,
): ArrayBuffer {
  const buffer = new ArrayBuffer(UNIFORM_BYTES);
  const whole = new Int32Array(buffer);
  whole[0] = kernel.inputs.reduce((bits, declared, i) => bits | (shapes[readName(declared).name] ? 1 << i : 0), 0);
  whole.set(ints, 1);
  new Float32Array(buffer).set(floats, 1 + ints.length);
  whole[1 + ints.length + floats.length] = round;
  return buffer;
}

interface Module {
  code: string;
  module: GPUShaderModule;
}
const modules = new Map<string, Module>();
const pipelines = new Map<GpuPass, Map<string, Pass>>();

function moduleFor({ device, grants }: FusedBackend, folder: string, key: string): Module {
  const known = modules.get(`${folder} ${key}`);
  if (known) return known;
  const code = moduleOf(folder, grants);
  const made = { code, module: device.createShaderModule({ code }) };
  modules.set(`${folder} ${key}`, made);
  return made;
}

/** What of the grants a module's text depends on. */
const textKey = ({ half, subgroups }: Grants): string => `${half}${subgroups ? ' subgroups' : ''}`;

/** Compiled on first use: one entry point with fixed constants. */
function compiled(backend: FusedBackend, folder: string, pass: GpuPass, constants?: Record<string, number>): Pass {
  const text = textKey(backend.grants);
  const key = constants ? `${text} ${JSON.stringify(constants)}` : text;
  const ofPass = pipelines.get(pass) ?? new Map<string, Pass>();
  pipelines.set(pass, ofPass);
  const known = ofPass.get(key);
  if (known) return known;
  const { code, module } = moduleFor(backend, folder, text);
  const compute = { module, entryPoint: pass.entry, constants };
  const made = {
    variables: variablesOf(code, pass.entry),
    pipeline: backend.device.createComputePipeline({ label: pass.entry, layout: 'auto', compute }),
  };
  ofPass.set(key, made);
  return made;
}
