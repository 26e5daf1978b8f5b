// The last linear map and softmax cross-entropy in one: loss and slopes without the logits ever standing whole.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

const tied = (attrs: Attrs): boolean => attrs.tied === true;
const smoothing = (attrs: Attrs): number => Number(attrs.labelSmoothing ?? 0);
const classes = ({ w }: Shapes, attrs: Attrs): number => w[tied(attrs) ? 0 : 1];

/**
 * x [.., D], w [D, V] or, with attribute `tied`, [V, D], targets [..] (int32), mask [..] to loss []: the cross-entropy of x · w, see CrossEntropy
 * for mask and `labelSmoothing`. The slopes of x and w for a gradient of 1 are worked out with it.
 */
export const linearCrossEntropy = defineKernel({
  name: 'LinearCrossEntropy',
  inputs: ['x', 'w', 'targets', 'mask?'],
  dtypes: { targets: 'int32' },
  outputs: ({ x, w }) => ({ loss: [], slopeX: x, slopeW: w }),
  ints: (shapes, attrs) => [
    sizeOf(shapes.x.slice(0, -1)),
    shapes.x[shapes.x.length - 1],
    classes(shapes, attrs),
    Number(tied(attrs)),
  ],
  floats: (attrs) => [smoothing(attrs)],
  refuses({ x, w, targets, mask }, attrs) {
    const D = x[x.length - 1];
    if (w.length !== 2 || w[tied(attrs) ? 1 : 0] !== D) return `w [${w}] does not take the ${D} channels of x [${x}]`;
    if (sizeOf(x) === 0 || sizeOf(w) === 0) return `x [${x}] or w [${w}] is empty`;
    const rows = sizeOf(x) / D;
    for (const [name, shape] of Object.entries({ targets, mask }))
      if (shape && sizeOf(shape) !== rows) return `${name} has ${sizeOf(shape)} entries, x [${x}] has ${rows} rows`;
    if (!(smoothing(attrs) >= 0 && smoothing(attrs) < 1))
      return `labelSmoothing must be from 0 to below 1, not ${attrs.labelSmoothing}`;
    return undefined;
  },
  gradient: {
    kernel: 'LinearCrossEntropyGrad',
    inputs: [],
    outputs: ['slopeX', 'slopeW'],
    cotangents: ['loss'],
    of: ['x', 'w'],
  },
});

export const linearCrossEntropyGrad = defineKernel({
  name: 'LinearCrossEntropyGrad',
  inputs: ['slopeX', 'slopeW', 'dloss'],
  outputs: ({ slopeX, slopeW }) => ({ dx: slopeX, dw: slopeW }),
  ints: ({ slopeX, slopeW }) => [sizeOf(slopeX), sizeOf(slopeW)],
});

// Where products are a kernel of their own, the rest of a piece of rows is made by those below.

/** mask [rows], or as many ones as there are `targets`, to its sum. */
export const gradedCount = defineKernel({
  name: 'GradedCount',
  inputs: ['targets', 'mask?'],
  dtypes: { targets: 'int32' },
  outputs: () => ({ count: [] }),
  ints: ({ targets }) => [sizeOf(targets)],
});

/** logits [rows, V] become their slopes for a mean over `count` graded rows; losses [rows] are what each adds to that mean. */
export const pieceOfLoss = defineKernel({
  name: 'PieceOfLoss',
  inputs: ['logits', 'targets', 'mask?', 'count'],
  dtypes: { targets: 'int32' },
  outputs: ({ logits, targets }) => ({ logits, losses: targets }),
  ints: ({ logits }) => [...logits],
  floats: (attrs) => [smoothing(attrs)],
  inPlace: true,
});

/** Adds part to whole. */
export const addPart = defineKernel({
  name: 'AddPart',
  inputs: ['whole', 'part'],
  outputs: ({ whole }) => ({ whole }),
  ints: ({ whole }) => [sizeOf(whole)],
  inPlace: true,
});

/** losses [rows] to their sum. */
export const sumOfLosses = defineKernel({
  name: 'SumOfLosses',
  inputs: ['losses'],
  outputs: () => ({ loss: [] }),
  ints: ({ losses }) => [sizeOf(losses)],
});

export const kernels: Kernel[] = [linearCrossEntropy, linearCrossEntropyGrad];
