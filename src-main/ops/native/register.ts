// Registers the backend `native` with TF.js: the JavaScript kernels copied, the hot ones overridden, the fused ones added.
import type { KernelConfig, KernelFunc, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
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
  for (const config of tf.getKernelsForBackend('cpu'))
    tf.registerKernel({
      ...config,
      backendName: 'native',
      kernelFunc: noting(made, config.kernelName, config.kernelFunc),
    });
  for (const { overrides } of Object.values(families))
    for (const [kernelName, override] of Object.entries(overrides)) put(made, kernelName, override);
  registerFused(made);
  backend = made;
  return made;
}

/** The backend, if this process has registered it. */
export const nativeBackend = (): NativeBackend | undefined => backend;

/** JavaScript kernels that touch no numbers: their result shares the input's buffer. */
const SHARING = new Set(['ExpandDims', 'Identity', 'Reshape']);

/** A JavaScript kernel that says so to a recording: what it computes would not be played back. */
function noting(backend: NativeBackend, kernelName: string, plain: KernelFunc): KernelFunc {
  if (SHARING.has(kernelName)) return plain;
  return (call) => {
    if (backend.recording) backend.recording.obstacle ??= `the operation ${kernelName} runs in JavaScript`;
    return plain(call);
  };
}

function put(backend: NativeBackend, kernelName: string, override: Override): void {
  const config = tf.getKernel(kernelName, 'cpu') as KernelConfig | undefined;
  const plain = config && noting(backend, kernelName, config.kernelFunc);
  if (plain) tf.unregisterKernel(kernelName, 'native');
  const kernelFunc: KernelFunc = (call) => {
    const done = override(backend, call.inputs as Record<string, TensorInfo>, (call.attrs ?? {}) as NamedAttrMap);
    if (done) return done;
    if (!plain) throw new Error(`${kernelName}: these types or shapes are not supported on this device`);
    return plain(call);
  };
  tf.registerKernel({ kernelName, backendName: 'native', kernelFunc });
}
