// Sums and the like along one stretch of axes, as devices without the native kernels call them.
import { defineKernel, type Kernel, sizeOf } from '../core/kernel';

/** What is made of the numbers, by its number in the shader. */
export const reductions = ['Sum', 'Mean', 'Max', 'Min', 'Prod'] as const;

/**
 * x [outer, n, inner] in any shape, read so, to y [outer · inner]: the `reduction` (one of `reductions`) of each n numbers.
 * Attributes: `reduction`, `outer`, `inner`. NaN among the numbers makes NaN.
 */
export const reduceAxis = defineKernel({
  name: 'ReduceAxis',
  inputs: ['x'],
  outputs: (_, { outer, inner }) => ({ y: [Number(outer) * Number(inner)] }),
  ints: ({ x }, { outer, inner, reduction }) => {
    const [rows, width] = [Number(outer), Number(inner)];
    return [rows, sizeOf(x) / (rows * width), width, reductions.indexOf(reduction as 'Sum')];
  },
  refuses: ({ x }, { outer, inner }) =>
    sizeOf(x) === 0 || sizeOf(x) % (Number(outer) * Number(inner)) !== 0
      ? `x [${x}] is not [${outer}, n, ${inner}] with n of 1 and more`
      : undefined,
});

export const kernels: Kernel[] = [reduceAxis];
