// Dropout whose mask is a pure function of seed, site, step and place: nothing is kept for the backward pass, it draws the same numbers again.
import { type Attrs, defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';

/** Attributes: `rate` of numbers set to zero, `seed` of the run, `site` that tells the places of dropout in one model apart. */
const rateOf = (attrs: Attrs): number => Number(attrs.rate);
/** A number is dropped if its 32 random bits are below this. */
export const thresholdOf = (rate: number): number => Math.floor(rate * 2 ** 32);

/** Numbers, numbers a row of the batch (the first axis), seed, site, threshold. */
const ints = (shape: readonly number[], attrs: Attrs): number[] => [
  sizeOf(shape),
  sizeOf(shape.slice(1)),
  Number(attrs.seed),
  Number(attrs.site),
  thresholdOf(rateOf(attrs)),
];
const floats = (attrs: Attrs): number[] => [1 / (1 - rateOf(attrs))];

/**
 * x [B, ..] to y: each number is zero, or divided by 1 - rate. `counter` int32 [2] holds the step, and the row of the whole batch that x begins
 * with, so that a batch cut into parts is masked as the whole would be. Random numbers: Philox4x32-10 (Salmon et al. 2011) with the seed as
 * key and (place / 4, step, site) as counter; the four words serve four neighbours.
 */
export const dropout = defineKernel({
  name: 'Dropout',
  inputs: ['x', 'counter'],
  dtypes: { counter: 'int32' },
  outputs: ({ x }) => ({ y: x }),
  ints: ({ x }, attrs) => ints(x, attrs),
  floats,
  refuses: ({ x, counter }: Shapes, attrs) => {
    if (x.length < 1) return 'x wants a first axis, the rows of the batch';
    if (String(counter) !== '2') return `counter holds a step and a row, so its shape is [2], not [${counter}]`;
    const rate = rateOf(attrs);
    return rate >= 0 && rate < 1 ? undefined : `rate ${rate} does not fit: it wants 0 or more, less than 1`;
  },
  gradient: { kernel: 'DropoutGrad', inputs: ['counter'], outputs: [], cotangents: ['y'], of: ['x'] },
});

/** The same mask on the cotangent. */
export const dropoutGrad = defineKernel({
  name: 'DropoutGrad',
  inputs: ['dy', 'counter'],
  dtypes: { counter: 'int32' },
  outputs: ({ dy }) => ({ dx: dy }),
  ints: ({ dy }, attrs) => ints(dy, attrs),
  floats,
});

export const kernels: Kernel[] = [dropout, dropoutGrad];
