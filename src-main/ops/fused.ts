// Calls of fused kernels: the kernel where the current device has it, else the composition of TF.js ops that it stands for.
import type { NamedTensorMap } from '@tensorflow/tfjs-core/dist/tensor_types';
import type { Attrs, Kernel, Shapes } from '../../kernels/core/kernel';
import { kernels, readName, shapesOf, unfit } from './kernels';
import * as tf from './tf';

export type Inputs = Readonly<Record<string, tf.Tensor | undefined>>;
export type Outputs = Record<string, tf.Tensor>;
export type Composition = (inputs: Inputs, attrs: Attrs) => Outputs;

export interface Binding {
  /** The same result out of TF.js ops: what other devices run, what gives the gradient there, and what the kernel is tested against. */
  replaces: Composition;
  /** Shapes and attributes for which the kernel should serve; default: all that it doesn't refuse. */
  when?(shapes: Shapes, attrs: Attrs): boolean;
}

type Run = (
  call:
    | { kernelName: string; inputs: NamedTensorMap; attrs: Attrs }
    | {
        forwardFunc(backend: unknown, save: (tensors: tf.Tensor[]) => void): tf.Tensor[];
        backwardsFunc(dys: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]): Record<string, () => tf.Tensor>;
        inputs: NamedTensorMap;
        attrs: Attrs;
      },
) => tf.Tensor | tf.Tensor[];

let composing = 0;
const noted = new Map<string, string>();

/** Keeps a sentence for `fallbacks()`, once for each key. */
export function note(key: string, sentence: string): void {
  if (!noted.has(key)) noted.set(key, sentence);
}

/** One sentence for each kernel that a composition stood in for, and for whatever else takes a slower way, since the process started. */
export const fallbacks = (): string[] => [...noted.values()];

/** Runs `fn` with every fused kernel replaced by its composition. Answers with a promise hold until it settles. */
export function withReference<T>(fn: () => T): T {
  composing++;
  let held = false;
  try {
    const result = fn();
    if (result instanceof Promise) {
      held = true;
      const free = () => {
        composing--;
      };
      result.then(free, free);
    }
    return result;
  } finally {
    if (!held) composing--;
  }
}

/** Whether `withReference` is at work. */
export const isReference = (): boolean => composing > 0;

/** True if the current device has the kernel. */
export const hasKernel = (name: string): boolean => tf.getKernel(name, tf.getBackend()) !== undefined;

/**
 * Makes a call of a fused kernel. Its result holds the outputs that are differentiated; the kernel's auxiliary ones are kept for the gradient only.
 * Where kernel or gradient are missing, refuse, or `when` says no, `replaces` serves and `fallbacks()` tells.
 */
export function bind(kernel: Kernel, { replaces, when }: Binding): Composition {
  return (inputs, attrs) => {
    if (composing > 0) return replaces(inputs, attrs);
    const why = obstacle(kernel, inputs, attrs);
    if (why === undefined && (!when || when(shapesOf(inputs), attrs))) return differentiable(kernel, inputs, attrs);
    if (why !== undefined)
      note(`${tf.getBackend()} ${kernel.name} ${why}`, `${kernel.name} runs as a composition of TF.js ops: ${why}.`);
    return replaces(inputs, attrs);
  };
}

/**
 * Runs a kernel that has no gradient (an optimiser's step) and gives all of its outputs by name.
 * @throws if the current device lacks it or it refuses; ask `hasKernel` first where there is another way.
 */
export function runKernel(name: string, inputs: Inputs, attrs: Attrs): Outputs {
  const kernel = kernels.get(name);
  if (!kernel) throw new Error(`internal: kernels/ holds no kernel ${name}`);
  const why = obstacle(kernel, inputs, attrs);
  if (why) throw new Error(`${name}: ${why}`);
  return run(kernel, present(kernel, inputs), attrs);
}

function obstacle(kernel: Kernel, inputs: Inputs, attrs: Attrs): string | undefined {
  if (!hasKernel(kernel.name)) return 'this device has no such kernel';
  if (kernel.gradient && !hasKernel(kernel.gradient.kernel)) return 'this device has no kernel for its gradient';
  return unfit(kernel, inputs) ?? kernel.refuses?.(shapesOf(inputs), attrs);
}

/** The kernel's inputs that are there, in its order. */
function present(kernel: Kernel, inputs: Inputs): NamedTensorMap {
  const map: NamedTensorMap = {};
  for (const declared of kernel.inputs) {
    const { name } = readName(declared);
    const tensor = inputs[name];
    if (tensor) map[name] = tensor;
  }
  return map;
}

function run(kernel: Kernel, inputs: NamedTensorMap, attrs: Attrs): Outputs {
  const tensors = [tf.engine().runKernel(kernel.name, inputs, attrs as tf.NamedAttrMap)].flat() as tf.Tensor[];
  const names = Object.keys(kernel.outputs(shapesOf(inputs), attrs));
  return Object.fromEntries(names.map((name, i) => [name, tensors[i]]));
}

/**
 * The kernel on the tape. TF.js's gradient registry would save inputs by a fixed list (ours may be absent) and hand a zero tensor to each unused
 * output, auxiliary ones too; so the gradient goes with the call.
 */
function differentiable(kernel: Kernel, given: Inputs, attrs: Attrs): Outputs {
  const { gradient } = kernel;
  const inputs = present(kernel, given);
  if (!gradient) return run(kernel, inputs, attrs);
  const saved = [...gradient.inputs.filter((name) => inputs[name]), ...gradient.outputs];
  const engine = tf.engine() as unknown as { runKernelFunc: Run };
  const result = engine.runKernelFunc({
    inputs,
    attrs,
    forwardFunc(_, save) {
      const outputs = run(kernel, inputs, attrs);
      save(saved.map((name) => (gradient.inputs.includes(name) ? inputs[name] : outputs[name])));
      return gradient.cotangents.map((name) => outputs[name]);
    },
    backwardsFunc(dys, kept) {
      const of = Object.fromEntries(saved.map((name, i) => [name, kept[i]]));
      gradient.cotangents.forEach((name, i) => {
        of[`d${name}`] = [dys].flat()[i];
      });
      const backward = kernels.get(gradient.kernel);
      if (!backward)
        throw new Error(`internal: kernels/ holds no kernel ${gradient.kernel}, the gradient of ${kernel.name}`);
      // Here, not in the functions below: TF.js tidies after each of them, which would throw away the others' results.
      const gradients = run(backward, present(backward, of), attrs);
      return Object.fromEntries([
        ...gradient.of.map((name) => [name, () => gradients[`d${name}`]]),
        ...Object.entries(gradient.alike ?? {}).map(([name, other]) => [name, () => gradients[`d${other}`].clone()]),
      ]);
    },
  });
  const tensors = [result].flat();
  return Object.fromEntries(gradient.cotangents.map((name, i) => [name, tensors[i]]));
}
