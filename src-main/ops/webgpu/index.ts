// Opens the WebGPU device: Dawn (npm `webgpu`) in plain Node, and TF.js's WebGPU backend on top of it.
import { cpus } from 'node:os';
import '@tensorflow/tfjs-backend-webgpu/dist/flags_webgpu';
import type { GpuFacts } from '../../spec/device';
import * as tf from '../tf';
import { gpuFacts, measureGpu } from './probe';
import { shaderVersion } from './sources';
import { prepareSwiftShader } from './swiftshader';

/** What came of opening the device: what it is, or why it is not there and what to do. */
export type WebGpu =
  | { detail: string; version: string; facts: GpuFacts; measure: () => ReturnType<typeof measureGpu> }
  | { unavailable: string };

const NO_ADAPTER =
  'no adapter was found: WebGPU wants a graphics driver with Vulkan (Linux), Direct3D 12 (Windows) or Metal (macOS)';

/** SwiftShader takes 20 times as long to compile a shader whose workgroup memory it is asked to clear itself; Dawn can as well. */
const SOFTWARE_FLAGS = ['disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension'];

let opened: Promise<WebGpu> | undefined;

/**
 * Finds the adapter, registers TF.js's backend for it and makes it current; later calls only make it current.
 * With ARCHLAB_SOFTWARE_GPU=1, SwiftShader serves where the machine has no adapter: right, and slow.
 * Tensors of this backend are read with `await tensor.data()`: Node has no synchronous way.
 */
export async function openWebGpu(): Promise<WebGpu> {
  opened ??= open();
  const result = await opened;
  if ('detail' in result) await tf.setBackend('webgpu');
  return result;
}

async function open(): Promise<WebGpu> {
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    return { unavailable: `Dawn (npm package "webgpu") does not load on this machine: ${(error as Error).message}` };
  }
  const adapter = await findAdapter(dawn);
  if ('unavailable' in adapter) return adapter;
  const facts = gpuFacts(adapter);
  const { register } = await import('./backend');
  const device = await register(adapter);
  return { detail: describe(adapter.info), version: shaderVersion, facts, measure: () => measureGpu(device) };
}

async function findAdapter({
  create,
  globals,
}: typeof import('webgpu')): Promise<GPUAdapter | { unavailable: string }> {
  Object.assign(globalThis, globals);
  const request = async (flags: string[] = []) => {
    const gpu = create(flags);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    // TF.js looks for `navigator.gpu`; holding it there also keeps Dawn's instance alive.
    if (adapter) Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
    return adapter;
  };
  const adapter = await request();
  if (adapter) return adapter;
  if (process.env.ARCHLAB_SOFTWARE_GPU !== '1') return { unavailable: NO_ADAPTER };
  const problem = prepareSwiftShader();
  if (problem) return { unavailable: `${NO_ADAPTER}; and ${problem}` };
  return (
    (await request(SOFTWARE_FLAGS)) ?? {
      unavailable: `${NO_ADAPTER}; and SwiftShader, though loaded, offers none either`,
    }
  );
}

function describe({ vendor, architecture, device, description }: GPUAdapterInfo): string {
  if (architecture === 'swiftshader') return `SwiftShader in software on ${cpus()[0]?.model.trim() ?? 'the CPU'}`;
  return description || [vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed adapter';
}
