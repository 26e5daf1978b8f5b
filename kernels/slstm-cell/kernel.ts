// The scalar memory of xLSTM over all tokens: exponential gates, a stabiliser, and a recurrent matrix for each head.
import { defineKernel, type Kernel, type Shapes, sizeOf } from '../core/kernel';
import { mappedSlstm, mappedSlstmGrad } from './mapped';
import { KEPT } from './sizes';

export { KEPT, mappedSlstm, mappedSlstmGrad };

const ints = ({ i, r }: Shapes) => [i[0], i[1], r[1], r[2]]; // batch, T, H, d

/**
 * Preactivations i, f, z, o [b, T, D] of input gate, forget gate, cell input and output gate, recurrent weights r [4, H, d, d] by gate, head,
 * channel in and channel out, and biases b [4, D], D = H·d, to y [b, T, D]. The memory is empty before the first token.
 */
export const slstmCell = defineKernel({
  name: 'SlstmCell',
  inputs: ['i', 'f', 'z', 'o', 'r', 'b'],
  outputs: ({ i }) => ({ y: i, kept: [i[0], i[1], KEPT, i[2]] }),
  ints,
  refuses({ i, f, z, o, r, b }) {
    if (i.length !== 3) return `i must be [batch, tokens, channels], not [${i.join(', ')}]`;
    for (const [name, shape] of Object.entries({ f, z, o }))
      if (String(shape) !== String(i)) return `${name} [${shape}] must have the shape of i [${i}]`;
    if (r.length !== 4 || r[0] !== 4 || r[2] !== r[3])
      return `r must be [4, heads, d, d] by gate, head, channel in and out, not [${r.join(', ')}]`;
    if (r[1] * r[2] !== i[2]) return `r [${r}] is for ${r[1] * r[2]} channels, and i [${i}] has ${i[2]}`;
    if (sizeOf(b) !== 4 * i[2]) return `b [${b}] must hold 4 biases for each of the ${i[2]} channels`;
    return undefined;
  },
  gradient: {
    kernel: 'SlstmCellGrad',
    inputs: ['r'],
    outputs: ['y', 'kept'],
    cotangents: ['y'],
    of: ['i', 'f', 'z', 'o', 'r', 'b'],
  },
});

export const slstmCellGrad = defineKernel({
  name: 'SlstmCellGrad',
  inputs: ['r', 'y', 'kept', 'dy'],
  outputs: ({ r, y }) => ({ di: y, df: y, dz: y, do: y, dr: r, db: [4, y[2]] }),
  ints: ({ y, r }) => ints({ i: y, r }),
});

export const kernels: Kernel[] = [slstmCell, slstmCellGrad, mappedSlstm, mappedSlstmGrad];
