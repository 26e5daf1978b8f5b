// Kernels of TF.js that shaders of our own replace on the GPU: each file of ops/ says which, and hands what it can't do back to TF.js.
import type { KernelFunc, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '../tf';
import type { FusedBackend } from './dispatch';

/** Inputs by name, the op's attributes and the backend; undefined hands the call on to TF.js's kernel. */
export type Override = (
  backend: FusedBackend,
  inputs: Record<string, TensorInfo>,
  attrs: Record<string, unknown>,
) => TensorInfo | undefined;

/** What a file in `webgpu/ops/` exports: TF.js kernel name to override. */
export type Overrides = Record<string, Override>;

const families = import.meta.glob<{ overrides: Overrides }>('./ops/*.ts', { eager: true });

/** Puts every override in place of TF.js's kernel. */
export function overrideKernels(): void {
  for (const { overrides } of Object.values(families))
    for (const [kernelName, override] of Object.entries(overrides)) put(kernelName, override);
}

function put(kernelName: string, override: Override): void {
  const { kernelFunc: plain } = tf.getKernel(kernelName, 'webgpu')!;
  tf.unregisterKernel(kernelName, 'webgpu');
  const kernelFunc: KernelFunc = (call) =>
    override(
      call.backend as FusedBackend,
      call.inputs as Record<string, TensorInfo>,
      (call.attrs ?? {}) as NamedAttrMap,
    ) ?? plain(call);
  tf.registerKernel({ kernelName, backendName: 'webgpu', kernelFunc });
}
