// Mends what TF.js 4.22 gets wrong on WebGPU, each fault as small as it is. Tests beside it fail on the unmended backend.
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu/dist/backend_webgpu';
import { CumProgram } from '@tensorflow/tfjs-backend-webgpu/dist/cum_webgpu';
import type { NamedAttrMap, NamedTensorInfoMap, Tensor, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '../tf';

export class RepairedBackend extends WebGPUBackend {
  override runWebGPUProgram(...[program, ...rest]: Parameters<WebGPUBackend['runWebGPUProgram']>): TensorInfo {
    // The length of the axis stands in the shader of a reverse cumulative sum, but not in the key that it is cached by.
    if (program instanceof CumProgram && program.reverse) program.shaderKey += `_${program.outputShape.at(-1)}`;
    return super.runWebGPUProgram(program, ...rest);
  }
}

/** Its own Reverse stops at rank 4. */
const REVERSE_RANK = 4;

/** Puts the mended kernels in place of TF.js's. */
export function repairKernels(): void {
  const { kernelFunc } = tf.getKernel('Reverse', 'webgpu')!;
  tf.unregisterKernel('Reverse', 'webgpu');
  tf.registerKernel({
    kernelName: 'Reverse',
    backendName: 'webgpu',
    kernelFunc: (call) => {
      const { x } = call.inputs as NamedTensorInfoMap as { x: Tensor };
      const { dims } = call.attrs as NamedAttrMap as { dims: number | number[] };
      return x.shape.length <= REVERSE_RANK ? kernelFunc(call) : reverseByAxis(x, [dims].flat());
    },
  });
}

/** One axis after the other, each seen as the middle one of three. */
function reverseByAxis(x: Tensor, dims: readonly number[]): Tensor {
  const { shape } = x;
  const size = (from: number, to?: number) => shape.slice(from, to).reduce((n, d) => n * d, 1);
  return tf.tidy(() => {
    let y: Tensor = x;
    for (const dim of dims) {
      const axis = dim < 0 ? dim + shape.length : dim;
      y = tf.reverse(tf.reshape(y, [size(0, axis), shape[axis], size(axis + 1)]), 1);
    }
    return tf.reshape(y, shape);
  });
}
