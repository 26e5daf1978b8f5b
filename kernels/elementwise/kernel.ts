// Sine and cosine for devices whose own are rough: WGSL promises no more than 2^-11 of them.
import { defineKernel, type Kernel, sizeOf } from '../core/kernel';

/** x of any shape to y = sin x, or cos x with the attribute `cosine`. Within 1e-6 for |x| up to 1e5, beyond it less and less. */
export const wave = defineKernel({
  name: 'ElementwiseWave',
  inputs: ['x'],
  outputs: ({ x }) => ({ y: x }),
  ints: ({ x }, { cosine }) => [sizeOf(x), Number(cosine === true)],
});

export const kernels: Kernel[] = [wave];
