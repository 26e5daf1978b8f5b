// Softmax over the last axis, as devices without the native kernels call it.
import { defineKernel, type Kernel, sizeOf } from '../core/kernel';

/** x [.., width] to y of the same shape: exp(x - max x) / Σ exp(x - max x) of each row. */
export const softmaxRows = defineKernel({
  name: 'SoftmaxRows',
  inputs: ['x'],
  outputs: ({ x }) => ({ y: x }),
  ints: ({ x }) => [sizeOf(x) / (x.at(-1) || 1), x.at(-1)!],
  refuses: ({ x }) => (x.length === 0 ? 'x is one number, and must be rows' : undefined),
});

export const kernels: Kernel[] = [softmaxRows];
