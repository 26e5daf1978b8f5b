// Root mean square normalisation over the last axis, whole or in groups of channels, and the form with a SiLU gate that Mamba-2 uses.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

/** Attributes: `epsilon` (added to the mean square), `groups` (default 1: all channels share one root mean square). */
const groupsOf = (attrs: Attrs): number => (attrs.groups === undefined ? 1 : Number(attrs.groups));
const widthOf = (x: Shape): number => x[x.length - 1];
const rowsOf = (x: Shape): number => sizeOf(x.slice(0, -1));

const outputs = ({ x }: Shapes, attrs: Attrs) => ({ y: x, rstd: [rowsOf(x), groupsOf(attrs)] });
const ints = ({ x }: Shapes, attrs: Attrs) => [
  rowsOf(x),
  widthOf(x),
  groupsOf(attrs),
  Number(attrs.gateFirst === true),
];
const floats = (attrs: Attrs) => [Number(attrs.epsilon)];

function refuses(shapes: Shapes, attrs: Attrs): string | undefined {
  const { x, gate, weight } = shapes;
  const groups = groupsOf(attrs);
  if (x.length < 1) return `x needs at least one axis, the channels, but came as a scalar`;
  if (sizeOf(weight) !== widthOf(x)) return `weight has ${sizeOf(weight)} entries, x has ${widthOf(x)} channels`;
  if (gate && String(gate) !== String(x)) return `gate [${gate}] differs from x [${x}]: they must have one shape`;
  if (!(groups >= 1) || widthOf(x) % groups !== 0) return `${widthOf(x)} channels do not divide into ${groups} groups`;
  if (!(Number(attrs.epsilon) >= 0)) return `epsilon must be a number from 0, not ${attrs.epsilon}`;
  return undefined;
}

/** x [.., D], weight [D] to y = x · rstd · weight, rstd [rows, G] = 1 / sqrt(mean of x² in the group + epsilon). */
export const rmsNorm = defineKernel({
  name: 'RmsNorm',
  inputs: ['x', 'weight'],
  outputs,
  ints,
  floats,
  refuses,
  gradient: {
    kernel: 'RmsNormGrad',
    inputs: ['x', 'weight'],
    outputs: ['rstd'],
    cotangents: ['y'],
    of: ['x', 'weight'],
  },
});

export const rmsNormGrad = defineKernel({
  name: 'RmsNormGrad',
  inputs: ['x', 'weight', 'rstd', 'dy'],
  outputs: ({ x, weight }) => ({ dx: x, dweight: weight }),
  ints,
});

/**
 * The stream before a block and its norm: x and y [.., D], weight [D] to sum = x + y and u = RmsNorm(sum). Its gradient takes in what reaches the
 * sum past the norm.
 */
export const addRmsNorm = defineKernel({
  name: 'AddRmsNorm',
  inputs: ['x', 'y', 'weight'],
  outputs: (shapes, attrs) => {
    const { y: u, rstd } = outputs(shapes, attrs);
    return { sum: shapes.x, u, rstd };
  },
  ints,
  floats,
  refuses: (shapes, attrs) =>
    String(shapes.y) === String(shapes.x)
      ? refuses(shapes, attrs)
      : `y [${shapes.y}] differs from x [${shapes.x}]: they must have one shape`,
  gradient: {
    kernel: 'AddRmsNormGrad',
    inputs: ['weight'],
    outputs: ['sum', 'rstd'],
    cotangents: ['sum', 'u'],
    of: ['x', 'weight'],
    alike: { y: 'x' },
  },
});

export const addRmsNormGrad = defineKernel({
  name: 'AddRmsNormGrad',
  inputs: ['weight', 'sum', 'rstd', 'dsum', 'du'],
  outputs: ({ weight, sum }) => ({ dx: sum, dweight: weight }),
  ints: ({ sum }, attrs) => ints({ x: sum }, attrs),
});

/** As RmsNorm with a gate like x. Attribute `gateFirst` true: y = norm(x · silu(gate)) · weight; false: y = norm(x) · weight · silu(gate). */
export const gatedRmsNorm = defineKernel({
  name: 'GatedRmsNorm',
  inputs: ['x', 'gate', 'weight'],
  outputs,
  ints,
  floats,
  refuses,
  gradient: {
    kernel: 'GatedRmsNormGrad',
    inputs: ['x', 'gate', 'weight'],
    outputs: ['rstd'],
    cotangents: ['y'],
    of: ['x', 'gate', 'weight'],
  },
});

export const gatedRmsNormGrad = defineKernel({
  name: 'GatedRmsNormGrad',
  inputs: ['x', 'gate', 'weight', 'rstd', 'dy'],
  outputs: ({ x, gate, weight }) => ({ dx: x, dgate: gate, dweight: weight }),
  ints,
});

export const kernels: Kernel[] = [rmsNorm, rmsNormGrad, addRmsNorm, addRmsNormGrad, gatedRmsNorm, gatedRmsNormGrad];
