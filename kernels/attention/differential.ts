// Differential attention: two softmax maps a head, one taken from the other, and the norm of what is left.
import { type Attrs, defineKernel, type Shapes } from '../core/kernel';
import { tableProblem } from './tables';

const ints = ({ q, k, v, cos }: Shapes, attrs: Attrs) => [
  q[0], // B
  q[1], // T queries
  k[1], // S keys
  q[2] / 2, // H
  v[2], // Hk
  q[3], // d, of one component
  v[3], // e
  Number(attrs.causal === true),
  cos ? 2 * cos[1] : 0, // channels that turn
];
const floats = (attrs: Attrs) => [Number(attrs.scale), Number(attrs.epsilon)];

/**
 * q [B, T, 2H, d] (row 2h + c is component c of head h), k [B, S, 2Hk, d], v [B, S, Hk, e], rest [] = 1 - λ, weight [e] to
 * y [B, T, H, e] = weight · o / sqrt(mean(o²) + epsilon), o = (A_0 - λ A_1) v, A_c = softmax(scale · q_c k_cᵀ); head h reads keys of head
 * floor(h · Hk / H). For the gradient: first and second [B, T, H, e], what each map reads of the values, and lse [B, 2H, T].
 * o is made as (first - second) + rest · second: where both agree and λ is near 1, only what is left of 1 counts, and the norm blows it up.
 * `causal`, and cos and sin for all d channels of a component or its last ones, as `Attention` says.
 */
export const differentialAttention = defineKernel({
  name: 'DifferentialAttention',
  inputs: ['q', 'k', 'v', 'rest', 'weight', 'cos?', 'sin?'],
  outputs({ q, v }) {
    const y = [q[0], q[1], q[2] / 2, v[3]];
    return { y, first: y, second: y, lse: [q[0], q[2], q[1]] };
  },
  ints,
  floats,
  refuses({ q, k, v, rest, weight, ...tables }, { scale, causal, epsilon }) {
    for (const [name, shape] of Object.entries({ q, k, v }))
      if (shape.length !== 4) return `${name} must be [batch, tokens, heads, width], not [${shape.join(', ')}]`;
    if (k[0] !== q[0] || k[3] !== q[3]) return `q [${q}] and k [${k}] must agree in batch and component width`;
    if (String([v[0], v[1], 2 * v[2]]) !== String(k.slice(0, 3)))
      return `v [${v}] must have the batch and tokens of k [${k}] and half of its heads`;
    if (q[2] % 2 !== 0 || (q[2] / 2) % v[2] !== 0) return `${v[2]} key heads do not divide ${q[2] / 2} query heads`;
    if (q[3] < 1 || v[3] < 1) return 'a head needs at least one channel';
    if (rest.length !== 0) return `rest must be one number, not [${rest}]`;
    if (String(weight) !== String([v[3]])) return `weight [${weight}] must be [${v[3]}]`;
    if (causal === true && k[1] < q[1])
      return `causal attention wants at least as many keys as queries, not ${k[1]} keys for ${q[1]}`;
    if (k[1] < 1) return 'there is no key to attend to';
    if (!Number.isFinite(scale)) return `scale must be a finite number, not ${String(scale)}`;
    if (!(Number(epsilon) >= 0)) return `epsilon must be 0 or more, not ${String(epsilon)}`;
    return tableProblem(tables, q[1], k[1], q[3]);
  },
  gradient: {
    kernel: 'DifferentialAttentionGrad',
    inputs: ['q', 'k', 'v', 'rest', 'weight', 'cos', 'sin'],
    outputs: ['first', 'second', 'lse'],
    cotangents: ['y'],
    of: ['q', 'k', 'v', 'rest', 'weight'],
  },
});

export const differentialAttentionGrad = defineKernel({
  name: 'DifferentialAttentionGrad',
  inputs: ['q', 'k', 'v', 'rest', 'weight', 'cos?', 'sin?', 'first', 'second', 'lse', 'dy'],
  outputs: ({ q, k, v, rest, weight }) => ({ dq: q, dk: k, dv: v, drest: rest, dweight: weight }),
  ints,
  floats,
});
