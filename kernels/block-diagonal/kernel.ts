// Linear maps of blocks of neighbouring channels, each block by itself: the headwise projections of xLSTM.
import { defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';
import { gatedBlocks, gatedBlocksGrad } from './gated';

export { gatedBlocks, gatedBlocksGrad };

const ints = ({ x, w }: Shapes) => [sizeOf(x.slice(0, -1)), ...w]; // rows, blocks, channels in, channels out

/** x [.., N·I], w [N, I, O], bias [N·O] to y [.., N·O]: block n maps channels n·I to n·I + I - 1. */
export const blockDiagonal = defineKernel({
  name: 'BlockDiagonal',
  inputs: ['x', 'w', 'bias?'],
  outputs: ({ x, w: [N, , O] }) => ({ y: [...x.slice(0, -1), N * O] }),
  ints,
  refuses({ x, w, bias }) {
    if (w.length !== 3) return `w must be [blocks, channels in, channels out], not [${w.join(', ')}]`;
    const [N, I, O] = w;
    if (x.length < 1 || x[x.length - 1] !== N * I) return `x [${x}] must end with ${N} blocks of ${I} channels`;
    if (bias && sizeOf(bias) !== N * O) return `bias has ${sizeOf(bias)} entries for ${N * O} channels`;
    return undefined;
  },
  gradient: {
    kernel: 'BlockDiagonalGrad',
    inputs: ['x', 'w'],
    outputs: [],
    cotangents: ['y'],
    of: ['x', 'w', 'bias'],
  },
});

export const blockDiagonalGrad = defineKernel({
  name: 'BlockDiagonalGrad',
  inputs: ['x', 'w', 'dy'],
  outputs: ({ x, w }) => ({ dx: x, dw: w, dbias: [w[0] * w[2]] }),
  ints,
});

export const kernels: Kernel[] = [blockDiagonal, blockDiagonalGrad, gatedBlocks, gatedBlocksGrad];
