// The scalar memory together with the maps of its gates: preactivations and their slopes are used while they lie in cache, and never stand whole.
import { defineKernel, type Shapes, sizeOf } from '../core/kernel';
import { KEPT } from './sizes';

const ints = ({ c, r }: Shapes) => [c[0], c[1], r[1], r[2]]; // batch, T, H, d
const MAPS = ['w_i', 'w_f', 'w_z', 'w_o'] as const;
const inputs = ['c', 'x', ...MAPS, 'r', 'b'] as const;

/**
 * As SlstmCell, with preactivations from maps by head w_i, w_f, w_z, w_o [H, d, d], channel in and out: c [b, T, D] through w_i and w_f, x [b, T, D]
 * through w_z and w_o. Recurrent weights r [4, H, d, d] and biases b [4, D], D = H·d, to y [b, T, D].
 */
export const mappedSlstm = defineKernel({
  name: 'MappedSlstm',
  inputs,
  outputs: ({ c, r }) => ({ y: c, kept: [c[0], c[1], r[1], KEPT, r[2]] }),
  ints,
  refuses({ c, x, r, b, ...maps }) {
    if (c.length !== 3) return `c must be [batch, tokens, channels], not [${c.join(', ')}]`;
    if (String(x) !== String(c)) return `x [${x}] must have the shape of c [${c}]`;
    if (r.length !== 4 || r[0] !== 4 || r[2] !== r[3])
      return `r must be [4, heads, d, d] by gate, head, channel in and out, not [${r.join(', ')}]`;
    const [, H, d] = r;
    if (H * d !== c[2]) return `r [${r}] is for ${H * d} channels, and c [${c}] has ${c[2]}`;
    const wrong = MAPS.find((name) => String(maps[name]) !== String(r.slice(1)));
    if (wrong) return `${wrong} [${maps[wrong]}] must be [${r.slice(1)}] to go with r [${r}]`;
    if (sizeOf(b) !== 4 * c[2]) return `b [${b}] must hold 4 biases for each of the ${c[2]} channels`;
    return undefined;
  },
  gradient: {
    kernel: 'MappedSlstmGrad',
    inputs,
    outputs: ['y', 'kept'],
    cotangents: ['y'],
    of: inputs,
  },
});

export const mappedSlstmGrad = defineKernel({
  name: 'MappedSlstmGrad',
  inputs: [...inputs, 'y', 'kept', 'dy'],
  outputs: (shapes) => ({
    dc: shapes.c,
    dx: shapes.x,
    ...Object.fromEntries(MAPS.map((name) => [`d${name}`, shapes[name]])),
    dr: shapes.r,
    db: shapes.b,
  }),
  ints,
});
