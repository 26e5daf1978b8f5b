// Layer normalisation of each head by itself, with what xLSTM puts behind it: a skip from another tensor, and an output gate.
import { type Attrs, defineKernel, type Kernel, type Shape, type Shapes, sizeOf } from '../core/kernel';

const widthOf = (x: Shape): number => x[x.length - 1];
const rowsOf = (x: Shape): number => sizeOf(x.slice(0, -1));
const headsOf = (attrs: Attrs): number => Number(attrs.heads);
const ints = ({ x }: Shapes, attrs: Attrs) => [rowsOf(x), widthOf(x), headsOf(attrs)];
const floats = (attrs: Attrs) => [Number(attrs.epsilon)];
/** Shape of the gradient of an input that may be absent. */
const orNothing = (shape: Shape | undefined): Shape => shape ?? [0];

/**
 * x [.., D] in `heads` of neighbouring channels to y = (norm(x) · weight + bias + skip · side) · silu(gate): mean 0 and variance 1 in each head;
 * weight, bias and skip [D], side and gate like x. Bias, skip with side, and gate may be absent. mean and rstd [rows, heads]. Attributes: heads,
 * and epsilon, added to the variance.
 */
export const headNorm = defineKernel({
  name: 'HeadNorm',
  inputs: ['x', 'weight', 'bias?', 'skip?', 'side?', 'gate?'],
  outputs: ({ x }, attrs) => ({ y: x, mean: [rowsOf(x), headsOf(attrs)], rstd: [rowsOf(x), headsOf(attrs)] }),
  ints,
  floats,
  refuses({ x, weight, bias, skip, side, gate }, attrs) {
    if (x.length < 1) return `x needs at least one axis, the channels, but came as a scalar`;
    const [D, heads] = [widthOf(x), headsOf(attrs)];
    if (!(heads >= 1) || D % heads !== 0) return `${D} channels do not divide into ${heads} heads`;
    for (const [name, shape] of Object.entries({ weight, bias, skip }))
      if (shape && sizeOf(shape) !== D) return `${name} has ${sizeOf(shape)} entries, x has ${D} channels`;
    for (const [name, shape] of Object.entries({ side, gate }))
      if (shape && String(shape) !== String(x)) return `${name} [${shape}] must have the shape of x [${x}]`;
    if (!skip !== !side) return 'skip and side go together: give both or neither';
    if (!(Number(attrs.epsilon) >= 0)) return `epsilon must be a number from 0, not ${attrs.epsilon}`;
    return undefined;
  },
  gradient: {
    kernel: 'HeadNormGrad',
    inputs: ['x', 'weight', 'bias', 'skip', 'side', 'gate'],
    outputs: ['mean', 'rstd'],
    cotangents: ['y'],
    of: ['x', 'weight', 'bias', 'skip', 'side', 'gate'],
  },
});

export const headNormGrad = defineKernel({
  name: 'HeadNormGrad',
  inputs: ['x', 'weight', 'bias?', 'skip?', 'side?', 'gate?', 'mean', 'rstd', 'dy'],
  outputs: ({ x, weight, bias, skip, side, gate }) => ({
    dx: x,
    dweight: weight,
    dbias: orNothing(bias),
    dskip: orNothing(skip),
    dside: orNothing(side),
    dgate: orNothing(gate),
  }),
  ints,
});

export const kernels: Kernel[] = [headNorm, headNormGrad];
