// The devices: opening one, describing all, and a real compute test of each.
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { type DeviceInfo, type DeviceTest, failedTest, type GpuFacts } from '../spec/device';
import { DEVICES, type DeviceId } from '../spec/run';
import { isaTitle, loadAddon } from './native/addon';
import { nativeBackend, registerNative } from './native/register';
import { measureBandwidth, measurePeak } from './peak';
import * as tf from './tf';
import type { FusedBackend } from './webgpu/dispatch';

export interface DeviceOptions {
  /** CPU threads; default: ARCHLAB_THREADS, else all cores. */
  threads?: number;
  /** What the inputs of matrix products are rounded to; sums, weights and the rest stay float32. Default float32. */
  precision?: 'float32' | 'bfloat16';
}
/** What a run records of its device. */
export interface DeviceFacts {
  id: DeviceId;
  detail: string;
  threads: number;
  kernelVersion: string;
}

const TITLES: Record<DeviceId, string> = {
  cpu: 'CPU',
  webgpu: 'GPU (WebGPU)',
  tensorflow: 'TensorFlow',
  reference: "Reference (TF.js's JavaScript CPU backend)",
};

interface Found {
  backend: string;
  detail: string;
  threads: number;
  version: string;
  gpu?: GpuFacts;
  /** The most it could do, measured. */
  peak?(): Promise<{ gflops?: number; gigabytesPerSecond?: number }>;
}
type Opened = Found | { unavailable: string };

const threadsAsked = (threads: number | undefined): number => {
  const asked = threads ?? Number(process.env.ARCHLAB_THREADS ?? 0);
  return Number.isInteger(asked) && asked > 0 ? asked : availableParallelism();
};
const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
const tfjsVersion = `tfjs ${tf.version_core}`;

/**
 * Makes a device current: tensors are made and computed there from now on.
 * @throws a sentence on why the device is not there and what to do.
 */
export async function useDevice(id: DeviceId, options: DeviceOptions = {}): Promise<DeviceFacts> {
  const opened = await open(id, threadsAsked(options.threads));
  if ('unavailable' in opened) throw new Error(`device ${id}: ${opened.unavailable}`);
  const rounding = options.precision === 'bfloat16';
  if (rounding && opened.backend !== 'native' && opened.backend !== 'webgpu')
    throw new Error(
      `device ${id}: bfloat16 is there on the cpu device with native kernels and on webgpu; choose float32`,
    );
  await tf.setBackend(opened.backend);
  if (opened.backend === 'webgpu') (tf.backend() as FusedBackend).rounding = rounding;
  const native = nativeBackend();
  if (native) native.rounding = rounding;
  const { detail, threads, version } = opened;
  return { id, detail, threads, kernelVersion: version };
}

/** Changes the threads of the cpu device between two operations, and tells how many there are; the bits stay the same. */
export const setThreads = (count: number): number => nativeBackend()?.addon.threads(count) ?? 1;

async function open(id: DeviceId, threads: number): Promise<Opened> {
  if (id === 'cpu') return openCpu(threads);
  if (id === 'reference') return { backend: 'cpu', detail: 'JavaScript, one thread', threads: 1, version: tfjsVersion };
  if (id === 'tensorflow') return openTensorFlow(threads);
  const { openWebGpu } = await import('./webgpu');
  const result = await openWebGpu();
  if ('unavailable' in result) return result;
  const { detail, version, facts, measure } = result;
  return {
    ...{ backend: 'webgpu', detail, threads: 1, version: `${version}, ${tfjsVersion}` },
    ...{ gpu: facts, peak: measure },
  };
}

function openCpu(threads: number): Opened {
  const loaded = loadAddon();
  if ('absent' in loaded) {
    // Asked for by name, an instruction set that isn't there must not turn into something else in silence.
    if (process.env.ARCHLAB_ISA) return { unavailable: loaded.absent };
    return { backend: 'cpu', detail: `JavaScript, one thread. ${loaded.absent}`, threads: 1, version: tfjsVersion };
  }
  const { addon } = registerNative(loaded);
  const count = addon.threads(threads);
  return {
    backend: 'native',
    detail: `${isaTitle(addon.isa)}, ${plural(count, 'thread')}${loaded.note ? `. ${loaded.note}` : ''}`,
    threads: count,
    version: loaded.version,
    peak: async () => ({ gflops: measurePeak(count), gigabytesPerSecond: measureBandwidth(COPIED_BYTES, 'copy') }),
  };
}

/** Node 23 removed old functions that tfjs-node still calls. */
function restoreUtil(require: NodeJS.Require): void {
  const util = require('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
  util.isString ??= (value: unknown) => typeof value === 'string';
  util.isNumber ??= (value: unknown) => typeof value === 'number';
  util.isObject ??= (value: unknown) => typeof value === 'object' && value !== null;
}

function openTensorFlow(threads: number): Opened {
  const require = createRequire(import.meta.url);
  const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];
  const problems: string[] = [];
  for (const name of packages) {
    try {
      require.resolve(name);
    } catch {
      continue;
    }
    try {
      restoreUtil(require);
      const { version } = require(name) as { version: Record<string, string> };
      return {
        backend: 'tensorflow',
        detail: name,
        threads,
        version: `${name} ${version['tfjs-node'] ?? version.tfjs}`,
      };
    } catch (error) {
      problems.push(`${name} does not load (${(error as Error).message.split('\n')[0]})`);
    }
  }
  return {
    unavailable: problems.length
      ? `${problems.join('; ')}.`
      : 'not installed; `npm install @tensorflow/tfjs-node-gpu` (CUDA) or `@tensorflow/tfjs-node` adds it.',
  };
}

/** What this machine offers, in the order of DEVICES. The current device stays current. */
export async function describeDevices(): Promise<DeviceInfo[]> {
  const infos: DeviceInfo[] = [];
  for (const id of DEVICES) {
    const opened = await keeping(() => open(id, nativeBackend()?.addon.threads() ?? threadsAsked(undefined)));
    const about = { id, title: TITLES[id] };
    if ('unavailable' in opened)
      infos.push({ ...about, available: false, detail: opened.unavailable, kernelVersion: null });
    else
      infos.push({ ...about, available: true, detail: opened.detail, kernelVersion: opened.version, gpu: opened.gpu });
  }
  return infos;
}

/** Runs `fn`, then makes the backend of before current again. */
async function keeping<T>(fn: () => Promise<T>): Promise<T> {
  const before = tf.getBackend();
  try {
    return await fn();
  } finally {
    if (before && before !== tf.getBackend()) await tf.setBackend(before);
  }
}

const SIDE = 256;
/** More than caches hold. */
const COPIED_BYTES = 2 ** 27;
const rate = (n: number): string => (n < 100 ? n.toPrecision(2) : n.toFixed(0));

/** Multiplies two matrices on the device, compares with float64 sums, and measures the rate. */
export async function testDevice(id: DeviceId): Promise<DeviceTest> {
  const threads = nativeBackend()?.addon.threads();
  return keeping(async () => {
    try {
      const facts = await useDevice(id, { threads });
      const opened = await open(id, facts.threads);
      const a = Float32Array.from({ length: SIDE * SIDE }, (_, i) => Math.sin(i * 0.37));
      const b = Float32Array.from({ length: SIDE * SIDE }, (_, i) => Math.cos(i * 0.11));
      const x = tf.tensor2d(a, [SIDE, SIDE]);
      const y = tf.tensor2d(b, [SIDE, SIDE]);
      const product = async () => {
        const z = tf.matMul(x, y);
        const values = await z.data();
        z.dispose();
        return values;
      };
      const worst = worstError(await product(), a, b);
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 3; i++) {
        const start = performance.now();
        await product();
        best = Math.min(best, performance.now() - start);
      }
      x.dispose();
      y.dispose();
      const gflops = (2 * SIDE ** 3) / best / 1e6;
      // float32 sums of 256 products of numbers up to 1 stay within 256 half units in the last place of 16.
      const ok = worst < 2e-4;
      const peak = 'unavailable' in opened ? undefined : await opened.peak?.();
      const most = peak?.gflops && ` of ${rate(peak.gflops)} between registers`;
      const copying = peak?.gigabytesPerSecond && `; it copies ${rate(peak.gigabytesPerSecond)} GB/s`;
      const message = ok
        ? `${facts.detail}: a ${SIDE}×${SIDE} product is right to ${worst.toExponential(1)}, at ${rate(gflops)} GFLOP/s${most ?? ''}${copying ?? ''}.`
        : `${facts.detail}: a ${SIDE}×${SIDE} product is off by ${worst.toExponential(1)}; don't trust this device.`;
      const limits = { peakGflops: peak?.gflops ?? null, gigabytesPerSecond: peak?.gigabytesPerSecond ?? null };
      return { id, ok, gflops, worstError: worst, ...limits, message };
    } catch (error) {
      return failedTest(id, (error as Error).message);
    }
  });
}

/** Largest difference from the product in float64, over every 16th row. */
function worstError(got: ArrayLike<number>, a: Float32Array, b: Float32Array): number {
  let worst = 0;
  for (let i = 0; i < SIDE; i += 16)
    for (let j = 0; j < SIDE; j++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++) sum += a[i * SIDE + k] * b[k * SIDE + j];
      const error = Math.abs(got[i * SIDE + j] - sum);
      if (!(error <= worst)) worst = error; // NaN is the worst of all
    }
  return worst;
}
