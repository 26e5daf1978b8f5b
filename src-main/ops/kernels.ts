// Every fused kernel of kernels/, found by its folder.
import type { DType, Kernel, Shapes } from '../../kernels/core/kernel';
import type * as tf from './tf';

const modules = import.meta.glob<Record<string, unknown>>('../../kernels/*/kernel.ts', { eager: true });

const isKernel = (value: unknown): value is Kernel =>
  typeof value === 'object' && value !== null && 'name' in value && 'outputs' in value && 'ints' in value;

/** The kernels by name. */
export const kernels: ReadonlyMap<string, Kernel> = new Map(
  Object.values(modules)
    .flatMap((module) => Object.values(module).flat())
    .filter(isKernel)
    .map((kernel) => [kernel.name, kernel]),
);

/** An input as declared (`bias?`): its name, and whether it may be absent. */
export const readName = (declared: string): { name: string; optional: boolean } =>
  declared.endsWith('?') ? { name: declared.slice(0, -1), optional: true } : { name: declared, optional: false };

export const dtypeOf = (kernel: Kernel, name: string): DType => kernel.dtypes?.[name] ?? 'float32';

/** Shapes of the inputs that are there. */
export const shapesOf = (inputs: Readonly<Record<string, tf.TensorInfo | undefined>>): Shapes =>
  Object.fromEntries(Object.entries(inputs).flatMap(([name, tensor]) => (tensor ? [[name, tensor.shape]] : [])));

/** Why these inputs can't go to the kernel, or undefined. */
export function unfit(kernel: Kernel, inputs: Readonly<Record<string, tf.TensorInfo | undefined>>): string | undefined {
  for (const declared of kernel.inputs) {
    const { name, optional } = readName(declared);
    const tensor = inputs[name];
    if (!tensor && !optional) return `input ${name} is missing`;
    if (tensor && tensor.dtype !== dtypeOf(kernel, name))
      return `${name} is ${tensor.dtype}, and must be ${dtypeOf(kernel, name)}`;
  }
  return undefined;
}
