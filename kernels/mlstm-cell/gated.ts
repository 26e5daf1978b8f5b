// The matrix memory together with the maps of its gates: queries, keys and values are read where they lie, and their slopes are whole.
import { type Attrs, defineKernel, type Shapes, sizeOf } from '../core/kernel';
import { floats, ints as intsOf, memoriesOf, sizes, unfit } from './sizes';

/** Tokens lie before heads. */
const ordered = (attrs: Attrs): Attrs => ({ ...attrs, tokensFirst: true });
const ints = (shapes: Shapes, attrs: Attrs) => intsOf(shapes, ordered(attrs));

/**
 * As MlstmCell with tokensFirst, from q, k, v [b, T, H, d] and gates i = q·w_i + k·w_i + v·w_i + b_i and f alike, where w_i and w_f [3·H·d, H] hold
 * the rows of all heads' queries, then keys, then values, and b_i and b_f [H]: y [b, T, H, d]. i and f [b, T, H], memories, stabilisers and size
 * are kept for the gradient. Attributes: forgetGate, eps.
 */
export const gatedMlstm = defineKernel({
  name: 'GatedMlstm',
  inputs: ['q', 'k', 'v', 'w_i', 'b_i', 'w_f', 'b_f'],
  outputs({ q }, attrs) {
    const gates = q.slice(0, 3);
    return { y: q, ...memoriesOf(sizes(q, ordered(attrs))), size: gates, i: gates, f: gates };
  },
  ints,
  floats,
  refuses({ q, k, v, w_i, b_i, w_f, b_f }, { forgetGate = 'sigmoid', eps = 1e-6 }) {
    if (q.length !== 4) return `q must be [batch, tokens, heads, channels], not [${q.join(', ')}]`;
    for (const [name, shape] of Object.entries({ k, v }))
      if (String(shape) !== String(q)) return `${name} [${shape}] must have the shape of q [${q}]`;
    const [, , H, d] = q;
    for (const [name, shape] of Object.entries({ w_i, w_f }))
      if (String(shape) !== String([3 * H * d, H]))
        return `${name} [${shape}] must be [${3 * H * d}, ${H}] to go with q [${q}]`;
    for (const [name, shape] of Object.entries({ b_i, b_f }))
      if (sizeOf(shape) !== H) return `${name} has ${sizeOf(shape)} entries for ${H} heads`;
    return unfit(forgetGate, eps);
  },
  gradient: {
    kernel: 'GatedMlstmGrad',
    inputs: ['q', 'k', 'v', 'w_i', 'b_i', 'w_f', 'b_f'],
    outputs: ['i', 'f', 'size', 'memories', 'stabilisers'],
    cotangents: ['y'],
    of: ['q', 'k', 'v', 'w_i', 'b_i', 'w_f', 'b_f'],
  },
});

export const gatedMlstmGrad = defineKernel({
  name: 'GatedMlstmGrad',
  inputs: ['q', 'k', 'v', 'w_i', 'b_i', 'w_f', 'b_f', 'i', 'f', 'size', 'memories', 'stabilisers', 'dy'],
  outputs: ({ q, k, v, w_i, b_i, w_f, b_f }) => ({ dq: q, dk: k, dv: v, dw_i: w_i, db_i: b_i, dw_f: w_f, db_f: b_f }),
  ints,
  floats,
});
