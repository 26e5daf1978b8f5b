// Registers the backend `native` with TF.js: the JavaScript kernels copied, the hot ones overridden, the fused ones added.
import type { KernelFunc, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '../tf';
import type { LoadedAddon } from './addon';
import { NativeBackend } from './backend';
import { registerFused } from './fused';

/** Inputs by name, the op's attributes and the backend; undefined hands the call on to TF.js's JavaScript kernel. */
export type Override = (
  backend: NativeBackend,
  inputs: Record<string, TensorInfo>,
  attrs: Record<string, unknown>,
) => TensorInfo | TensorInfo[] | undefined;

/** What a file in `native/ops/` exports: TF.js kernel name to override. */
export type Overrides = Record<string, Override>;

const families = import.meta.glob<{ overrides: Overrides }>('./ops/*.ts', { eager: true });

let backend: NativeBackend | undefined;

/** Registers once; gives the backend, not yet current. */
export function registerNative({ addon }: LoadedAddon): NativeBackend {
  if (backend) return backend;
  const made = new NativeBackend(addon);
  tf.registerBackend('native', () => made, 0);
  tf.copyRegisteredKernels('cpu', 'native');
  for (const { overrides } of Object.values(families))
    for (const [kernelName, override] of Object.entries(overrides)) put(kernelName, override);
  registerFused(made);
  backend = made;
  return made;
}

/** The backend, if this process has registered it. */
export const nativeBackend = (): NativeBackend | undefined => backend;

function put(kernelName: string, override: Override): void {
  const plain = tf.getKernel(kernelName, 'cpu');
  if (plain) tf.unregisterKernel(kernelName, 'native');
  const kernelFunc: KernelFunc = ({ inputs, attrs, backend }) => {
    const done = override(
      backend as NativeBackend,
      inputs as Record<string, TensorInfo>,
      (attrs ?? {}) as NamedAttrMap,
    );
    if (done) return done;
    if (!plain) throw new Error(`${kernelName}: these types or shapes are not supported on this device`);
    return plain.kernelFunc({ inputs, attrs, backend });
  };
  tf.registerKernel({ kernelName, backendName: 'native', kernelFunc });
}
