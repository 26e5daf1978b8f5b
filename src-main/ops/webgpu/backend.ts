// Bridges TF.js's WebGPU backend to today's Dawn in Node: a device of our own making, its errors loud, the backend registered.
// Loaded only once `navigator.gpu` is there, since TF.js's kernels look for it when they load.
import '@tensorflow/tfjs-backend-webgpu/dist/register_all_kernels';
import type { Grants } from '../../../kernels/core/plan';
import * as tf from '../tf';
import { FusedBackend } from './dispatch';
import { registerFused } from './fused';
import { overrideKernels } from './override';
import { repairKernels } from './repairs';

/** What kernels may use beyond WebGPU's guaranteed minimum: all that the adapter has. */
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxComputeWorkgroupSizeX',
  'maxComputeInvocationsPerWorkgroup',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxBufferSize',
] as const;

/** What shaders may use beyond the language's core, where the adapter has it. */
const FEATURES = ['shader-f16', 'subgroups'] as const;

/** Dispatches of one submission: a training step fits, and a loop that never reads anything doesn't pile up without end. */
const MOST_DISPATCHES = 16384;

/** Registers the backend `webgpu` on a device of this adapter, and gives the device. */
export async function register(adapter: GPUAdapter): Promise<GPUDevice> {
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  // A shader that does not compile or a lost device would otherwise only leave zeros behind.
  device.onuncapturederror = ({ error }) => fail(`the GPU refused a command: ${error.message}`);
  device.lost.then(({ reason, message }) => {
    if (reason !== 'destroyed') fail(`the GPU was lost (${message.trim()}); start again from the newest checkpoint`);
  });
  // Small tensors stay on the GPU too: a result then comes from one kind of arithmetic.
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  tf.env().set('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE', MOST_DISPATCHES);
  repairKernels();
  registerFused();
  overrideKernels();
  tf.registerBackend('webgpu', () => new FusedBackend(device, adapter.info, grantsOf(device)));
  return device;
}

/** What of a device plans and shaders make use of. */
export function grantsOf({ features, limits }: Pick<GPUDevice, 'features' | 'limits'>): Grants {
  return {
    subgroups: features.has('subgroups'),
    half: features.has('shader-f16') ? 'f16' : undefined,
    invocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
  };
}

/** Ends the process's present work with an error that no promise of ours can swallow. */
function fail(message: string): void {
  setImmediate(() => {
    throw new Error(message);
  });
}
