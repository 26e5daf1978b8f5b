// Products of matrices on the GPU: BatchMatMul, and the fused form with bias and activation.
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../../../kernels/core/kernel';
import { product } from '../../../../kernels/matmul/kernel';
import { callFused } from '../fused';
import type { Override, Overrides } from '../override';

const multiply: Override = (backend, { a, b, bias, preluActivationWeights }, attrs) => {
  const shapes = { a: a.shape, b: b.shape, ...(bias && { bias: bias.shape }) };
  const floats = [a, b, ...(bias ? [bias] : [])].every(({ dtype }) => dtype === 'float32');
  if (!floats || preluActivationWeights || product.refuses?.(shapes, attrs)) return undefined;
  const [outerA, outerB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  // Batches of one size but of other axes, [2, 1] and [1, 2], make four.
  const outer = sizeOf(outerA) === 1 ? outerB : outerA;
  const other = outer === outerA ? outerB : outerA;
  if (sizeOf(other) > 1 && String(other) !== String(outer)) return undefined;
  const leading = Array<number>(Math.max(0, other.length - outer.length)).fill(1);
  const inputs: Record<string, TensorInfo> = bias ? { a, b, bias } : { a, b };
  const [made] = callFused(backend, product.name, inputs, { ...attrs, rounded: backend.rounding });
  return { ...made, shape: [...leading, ...outer, ...made.shape.slice(1)] };
};

export const overrides: Overrides = { BatchMatMul: multiply, _FusedMatMul: multiply };
