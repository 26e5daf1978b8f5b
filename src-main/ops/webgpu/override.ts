// Kernels of TF.js that shaders of our own replace on the GPU: each file of ops/ says which, and hands what it can't do back to TF.js. And kernels of
// ours that are made of several others.
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

/** Kernels of kernels/ that call others: inputs by name, attributes and the backend to the outputs in order. */
export type Composites = Record<
  string,
  (backend: FusedBackend, inputs: Record<string, TensorInfo>, attrs: Record<string, unknown>) => TensorInfo[]
>;

interface Family {
  overrides?: Overrides;
  composites?: Composites;
}
const families = import.meta.glob<Family>('./ops/*.ts', { eager: true });

/** Puts every override in place of TF.js's kernel, and registers what is made of several kernels. */
export function overrideKernels(): void {
  for (const { overrides = {}, composites = {} } of Object.values(families)) {
    for (const [kernelName, override] of Object.entries(overrides)) put(kernelName, override);
    for (const [kernelName, compute] of Object.entries(composites))
      tf.registerKernel({
        kernelName,
        backendName: 'webgpu',
        kernelFunc: ({ backend, inputs, attrs }) =>
          compute(backend as FusedBackend, inputs as Record<string, TensorInfo>, (attrs ?? {}) as NamedAttrMap),
      });
  }
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
