// Registers every fused kernel that the addon has with the backend `native`.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Kernel } from '../../../kernels/core/kernel';
import { dtypeOf, kernels, readName, shapesOf } from '../kernels';
import * as tf from '../tf';
import type { NativeBackend } from './backend';

export function registerFused(backend: NativeBackend): void {
  for (const kernel of kernels.values()) {
    if (!backend.has(kernel.name)) continue;
    tf.registerKernel({
      kernelName: kernel.name,
      backendName: 'native',
      kernelFunc: ({ inputs, attrs }) => call(backend, kernel, inputs as Record<string, TensorInfo>, attrs ?? {}),
    });
  }
}

function call(backend: NativeBackend, kernel: Kernel, inputs: Record<string, TensorInfo>, attrs: object): TensorInfo[] {
  const given = attrs as Record<string, unknown>;
  const shapes = shapesOf(inputs);
  const outputs = Object.entries(kernel.outputs(shapes, given)).map(([name, shape]) =>
    backend.make([...shape], dtypeOf(kernel, name)),
  );
  const ordered = kernel.inputs.map((declared) => inputs[readName(declared).name]);
  try {
    backend.run(kernel.name, ordered, outputs, kernel.ints(shapes, given), kernel.floats?.(given));
  } catch (error) {
    for (const output of outputs) backend.disposeData(output.dataId);
    throw new Error(`${kernel.name}: ${(error as Error).message}`);
  }
  return outputs;
}
