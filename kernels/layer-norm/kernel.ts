// Layer normalisation over the last axis: mean 0, variance 1, then weight and (optionally) bias.
import { defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

const widthOf = (x: Shape): number => x[x.length - 1];
const rowsOf = (x: Shape): number => sizeOf(x.slice(0, -1));
const ints = ({ x }: Shapes) => [rowsOf(x), widthOf(x)];

/** x [.., D], weight [D], bias [D] to y = (x - mean) · rstd · weight + bias; mean and rstd [rows]. Attribute: `epsilon`, added to the variance. */
export const layerNorm = defineKernel({
  name: 'LayerNorm',
  inputs: ['x', 'weight', 'bias?'],
  outputs: ({ x }) => ({ y: x, mean: [rowsOf(x)], rstd: [rowsOf(x)] }),
  ints,
  floats: (attrs) => [Number(attrs.epsilon)],
  refuses({ x, weight, bias }, attrs) {
    if (x.length < 1) return `x needs at least one axis, the channels, but came as a scalar`;
    for (const [name, shape] of Object.entries({ weight, bias }))
      if (shape && sizeOf(shape) !== widthOf(x))
        return `${name} has ${sizeOf(shape)} entries, x has ${widthOf(x)} channels`;
    if (!(Number(attrs.epsilon) >= 0)) return `epsilon must be a number from 0, not ${attrs.epsilon}`;
    return undefined;
  },
  gradient: {
    kernel: 'LayerNormGrad',
    inputs: ['x', 'weight'],
    outputs: ['mean', 'rstd'],
    cotangents: ['y'],
    of: ['x', 'weight', 'bias'],
  },
});

export const layerNormGrad = defineKernel({
  name: 'LayerNormGrad',
  inputs: ['x', 'weight', 'mean', 'rstd', 'dy'],
  outputs: ({ x, weight }) => ({ dx: x, dweight: weight, dbias: weight }),
  ints,
});

export const kernels: Kernel[] = [layerNorm, layerNormGrad];
