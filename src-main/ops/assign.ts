// New values for variables, written where the old ones lie if nobody else reads them there.
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { Attrs, Kernel, Shapes } from '../../kernels/core/kernel';
import { hasKernel, type Inputs, type Outputs, runKernel } from './fused';
import { dtypeOf, kernels, readName, shapesOf, unfit } from './kernels';
import { nativeBackend } from './native/register';
import * as tf from './tf';
import type { FusedBackend } from './webgpu/dispatch';
import { callFused } from './webgpu/fused';

const native = () => (tf.getBackend() === 'native' ? nativeBackend() : undefined);
const gpu = () => (tf.getBackend() === 'webgpu' ? (tf.backend() as FusedBackend) : undefined);

/**
 * Runs a kernel that works in place, as an optimiser's step does: `into` names the variable for each output, which is also the input of that name.
 * @throws if the current device lacks it or it refuses; ask `hasKernel` first where there is another way.
 */
export function update(name: string, inputs: Inputs, attrs: Attrs, into: Readonly<Record<string, Variable>>): void {
  if (overwrite(name, inputs, attrs, into)) return;
  const next = runKernel(name, inputs, attrs);
  for (const [output, variable] of Object.entries(into)) {
    variable.assign(next[output]);
    next[output].dispose();
  }
}

/** One call of a kernel that works in place, see `update`. */
export interface Update {
  inputs: Inputs;
  attrs: Attrs;
  into: Readonly<Record<string, Variable>>;
}

/** Updates that one call of the addon takes: it has room for 512 arrays, of which AdamW wants 9 for each, and for 256 numbers. */
const TOGETHER = 48;

/**
 * Makes many updates by one kernel. Where the device has it for many at a time (its name ends in `All`), one call serves for as many as it takes:
 * all threads share all numbers, and the bits are those of one call for each.
 * @throws as `update` does.
 */
export function updateAll(name: string, updates: readonly Update[]): void {
  const cpu = native();
  const kernel = kernels.get(name);
  const may = (one: Update) => Object.values(one.into).every((variable) => cpu?.mayOverwrite(variable));
  const together = cpu?.has(`${name}All`) && kernel ? updates.filter(may) : [];
  for (const one of updates) if (!together.includes(one)) update(name, one.inputs, one.attrs, one.into);
  for (let i = 0; i < together.length; i += TOGETHER) {
    const calls = together.slice(i, i + TOGETHER).map((one) => placed(kernel!, one.inputs, one.attrs, one.into));
    cpu!.run(
      `${name}All`,
      calls.flatMap((call) => call.inputs),
      calls.flatMap((call) => Object.values(call.outputs)),
      [calls.length, ...calls.flatMap((call) => call.ints)],
      calls.flatMap((call) => call.floats),
    );
  }
}

interface Placed {
  inputs: (Tensor | undefined)[];
  outputs: Outputs;
  ints: number[];
  floats: number[];
}

/** The inputs' shapes. @throws if the kernel refuses them. */
function fitting(kernel: Kernel, inputs: Inputs, attrs: Attrs): Shapes {
  const given = shapesOf(inputs);
  const why = unfit(kernel, inputs) ?? kernel.refuses?.(given, attrs);
  if (why) throw new Error(`${kernel.name}: ${why}`);
  return given;
}

/** A call as native code takes it, with its outputs where they go; those that `into` lacks are new. */
function placed(kernel: Kernel, inputs: Inputs, attrs: Attrs, into: Readonly<Record<string, Tensor>>): Placed {
  const given = fitting(kernel, inputs, attrs);
  const fresh = (output: string, shape: number[]) =>
    tf.engine().makeTensorFromTensorInfo(native()!.make(shape, dtypeOf(kernel, output)));
  return {
    inputs: kernel.inputs.map((declared) => inputs[readName(declared).name]),
    outputs: Object.fromEntries(
      Object.entries(kernel.outputs(given, attrs)).map(([output, shape]) => [
        output,
        into[output] ?? fresh(output, [...shape]),
      ]),
    ),
    ints: kernel.ints(given, attrs),
    floats: kernel.floats?.(attrs) ?? [],
  };
}

/**
 * Runs a kernel that works in place on tensors whose memory is theirs alone (see `own`): an output lies where the tensor of that name in `into` lies, and
 * others are new. Gives all outputs; undefined, and nothing is done, where the device cannot.
 * @throws if the kernel refuses.
 */
export function overwrite(
  name: string,
  inputs: Inputs,
  attrs: Attrs,
  into: Readonly<Record<string, Tensor>>,
): Outputs | undefined {
  const kernel = kernels.get(name);
  const cpu = native();
  const backend = cpu ?? gpu();
  if (
    !kernel?.inPlace ||
    !backend ||
    !hasKernel(name) ||
    !Object.values(into).every((one) => backend.mayOverwrite(one))
  )
    return undefined;
  if (!cpu) {
    const outputs = Object.keys(kernel.outputs(fitting(kernel, inputs, attrs), attrs));
    if (outputs.some((output) => !into[output])) return undefined;
    callFused(backend as FusedBackend, name, inputs, attrs, into);
    return { ...into };
  }
  const call = placed(kernel, inputs, attrs, into);
  cpu.run(name, call.inputs, Object.values(call.outputs), call.ints, call.floats);
  return call.outputs;
}

/** Gives a variable the values of a tensor, which stays the caller's. */
export function store(variable: Variable, value: Tensor): void {
  if (!copyInto(variable, value)) variable.assign(value);
}

/** Writes the values of a tensor where another of its size lies, if that memory is its alone; false, and nothing is done, where the device cannot. */
export function copyInto(target: Tensor, value: Tensor): boolean {
  const cpu = native();
  const backend = cpu ?? gpu();
  if (!backend?.mayOverwrite(target)) return false;
  if (cpu) cpu.run('StridedCopy', [value], [target], [1, 0, 0, value.size, 1, 1]);
  else (backend as FusedBackend).copy(value, target);
  return true;
}

/** A float32 tensor's values in memory of its own, bit for bit: what `overwrite` and `copyInto` ask of their targets. */
export const own = <T extends Tensor>(tensor: T): T => tf.mul(tensor, 1) as T;

/**
 * Moves float32 and int32 tensors that will live long, and are disposed of at the same time, to where they are read fastest: on `cpu` side by side on
 * large pages, in memory of their own (see `own`). Elsewhere it does nothing. Not within a recorded step.
 */
export function keepTogether(tensors: Iterable<Tensor>): void {
  const different = new Map([...tensors].map((tensor) => [tensor.dataId, tensor]));
  if (different.size) native()?.keepTogether([...different.values()]);
}
