// Counts of what is alive, for leak tests and the load display.
import type { WatchedCall } from './native/backend';
import { arenasBytes } from './native/program';
import { nativeBackend } from './native/register';
import * as tf from './tf';
import { programsBytes } from './webgpu/program';

export interface MemoryFacts {
  /** Tensors alive on the current device. */
  tensors: number;
  /** Bytes of their buffers. */
  bytes: number;
  /** Bytes kept for the next tensors (native kernels only). */
  pooledBytes: number;
  /** Bytes that captured steps work in. */
  arenaBytes: number;
}

export function memoryFacts(): MemoryFacts {
  const { numTensors, numBytes } = tf.memory();
  const native = tf.getBackend() === 'native' ? nativeBackend() : undefined;
  return {
    tensors: numTensors,
    bytes: native?.liveBytes ?? numBytes,
    pooledBytes: native?.pool.freeBytes ?? 0,
    arenaBytes: arenasBytes() + programsBytes(),
  };
}

/** Milliseconds that each native kernel has taken in this process since this was first asked, by name; empty where there are none. */
export function kernelTimes(): Map<string, number> {
  const native = nativeBackend();
  const times = native?.addon.times() ?? [];
  return new Map(native?.addon.kernels().map((name, i) => [name, times[i]]));
}

/** Test mode of the native kernels: fresh outputs and scratch memory hold NaN, so that whatever is read before it is written shows. */
export function poisonBuffers(on: boolean): void {
  const native = nativeBackend();
  if (!native) return;
  native.pool.poison = on;
  native.addon.poison(on);
}

/** `watcher` hears of each native kernel that `run` calls; nothing is heard without native kernels. */
export function watchKernels<T>(watcher: (call: WatchedCall) => void, run: () => T): T {
  const native = nativeBackend();
  if (!native) return run();
  native.watcher = watcher;
  try {
    return run();
  } finally {
    native.watcher = undefined;
  }
}

/** What `run` gives, and the most bytes of buffers that lived at once meanwhile beyond those of before; undefined without native kernels. */
export function withPeakBytes<T>(run: () => T): { result: T; bytes: number | undefined } {
  const native = tf.getBackend() === 'native' ? nativeBackend() : undefined;
  if (!native) return { result: run(), bytes: undefined };
  const before = native.liveBytes;
  native.peakBytes = before;
  const result = run();
  return { result, bytes: native.peakBytes - before };
}
