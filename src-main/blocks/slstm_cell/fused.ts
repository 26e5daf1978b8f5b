// The kernel that may stand in for the composition, from an empty memory.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { slstmCell as kernel } from '../../../kernels/slstm-cell/kernel';
import { bind } from '../../ops';
import { type Cell, run } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ y: run(inputs as unknown as Cell).y }) });

/** As `run` of reference.ts without a memory: y [B, T, D]. */
export const slstmCell = (cell: Cell): Tensor3D => bound({ ...cell }, {}).y as Tensor3D;
