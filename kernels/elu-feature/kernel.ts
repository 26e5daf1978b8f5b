// The features of linear attention, elu(u) + 1, scaled: u + 1 above 0 and eᵘ below.
import { defineKernel, type Kernel, sizeOf } from '../core/kernel';

/** x of any shape to y = scale · (elu(x) + 1). Attribute: `scale`, above 0. The gradient reads y alone. */
export const eluFeature = defineKernel({
  name: 'EluFeature',
  inputs: ['x'],
  outputs: ({ x }) => ({ y: x }),
  ints: ({ x }) => [sizeOf(x)],
  floats: ({ scale }) => [Number(scale)],
  refuses: (_, { scale }) => (Number(scale) > 0 ? undefined : `scale must be above 0, not ${scale}`),
  gradient: { kernel: 'EluFeatureGrad', inputs: [], outputs: ['y'], cotangents: ['y'], of: ['x'] },
});

export const eluFeatureGrad = defineKernel({
  name: 'EluFeatureGrad',
  inputs: ['y', 'dy'],
  outputs: ({ y }) => ({ dx: y }),
  ints: ({ y }) => [sizeOf(y)],
  floats: ({ scale }) => [Number(scale)],
});

export const kernels: Kernel[] = [eluFeature, eluFeatureGrad];
