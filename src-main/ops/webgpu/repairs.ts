// Mends what TF.js 4.22 gets wrong on WebGPU, each fault as small as it is. Tests beside it fail on the unmended backend.
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu/dist/backend_webgpu';
import { CumProgram } from '@tensorflow/tfjs-backend-webgpu/dist/cum_webgpu';
import { UnaryOpType } from '@tensorflow/tfjs-backend-webgpu/dist/unary_op_util';
import { UnaryOpProgram } from '@tensorflow/tfjs-backend-webgpu/dist/unary_op_webgpu';
import type { NamedAttrMap, NamedTensorInfoMap, Tensor, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '../tf';

// ln(1 + a) as 2 artanh(z) with z = a / (2 + a), which is at most 1/3 here: eight terms to the digits of float32.
const NAIVE_LOG1P = 'return log(1.0 + a);';
const LOG1P = `
  if (a < -0.5 || a > 1.0) { ${NAIVE_LOG1P} }
  let z = a / (2.0 + a);
  let s = z * z;
  return 2.0 * z * (1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0 + s * (1.0 / 13.0 + s / 15.0)))))));
`;

export class RepairedBackend extends WebGPUBackend {
  override runWebGPUProgram(...[program, ...rest]: Parameters<WebGPUBackend['runWebGPUProgram']>): TensorInfo {
    // The length of the axis stands in the shader of a reverse cumulative sum, but not in the key that it is cached by.
    if (program instanceof CumProgram && program.reverse) program.shaderKey += `_${program.outputShape.at(-1)}`;
    // Its log1p adds first, and so loses what is small beside 1.
    if (program instanceof UnaryOpProgram && program.op === UnaryOpType.LOG1P) {
      const code = program.getUserCode();
      program.getUserCode = () => code.replace(NAIVE_LOG1P, LOG1P);
      program.shaderKey += '_near_0';
    }
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
