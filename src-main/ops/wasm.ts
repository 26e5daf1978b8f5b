// TF.js's WASM backend, which the benchmark measures beside ours. No run uses it.
import { createRequire, Module } from 'node:module';
import * as tf from './tf';

/** What our models ask for and this backend lacks: the gradient of gather, as a product with the one-hot ids. */
const segmentSum: tf.KernelConfig = {
  kernelName: 'UnsortedSegmentSum',
  backendName: 'wasm',
  kernelFunc: ({ inputs, attrs }) => {
    const { x, segmentIds } = inputs as Record<string, tf.Tensor>;
    const rows = tf.reshape(x, [x.shape[0], -1]);
    const sums = tf.tidy(() => tf.matMul(tf.oneHot(segmentIds, Number(attrs!.numSegments)), rows, true));
    return tf.reshape(sums, [sums.shape[0], ...x.shape.slice(1)]);
  },
};

/** The base class of backends as old classes are made: that build calls its constructor without `new`. */
function ancestor(): unknown {
  function KernelBackend() {}
  KernelBackend.prototype = tf.KernelBackend.prototype;
  return KernelBackend;
}

let opened = false;

/**
 * Makes TF.js's WASM backend current; gives its version and what stands in for kernels that it lacks.
 * @throws a sentence where it does not start.
 */
export async function useWasm(): Promise<{ version: string; note: string }> {
  const require = createRequire(import.meta.url);
  if (!opened) {
    const path = require.resolve('@tensorflow/tfjs-backend-wasm');
    // Its CommonJS build, which finds its .wasm files by itself, on the one TF.js core that this process has.
    const core = createRequire(path).resolve('@tensorflow/tfjs-core');
    const own = Object.assign(new Module(core), { exports: { ...tf, KernelBackend: ancestor() }, loaded: true });
    require.cache[core] = own;
    require(path);
    tf.registerKernel(segmentSum);
    opened = true;
  }
  if (!(await tf.setBackend('wasm'))) throw new Error('bench: TF.js’s WASM backend does not start');
  return {
    version: `tfjs-backend-wasm ${tf.version_core}`,
    note: 'SIMD, one thread (TF.js starts no others in Node); gradient of gather as a product with one-hot ids',
  };
}
