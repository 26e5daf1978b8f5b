// Softmax attention with grouped key and value heads: causal or not, windowed, with rotary positions, ALiBi, soft-cap and sinks inside the kernel.
import { type Attrs, defineKernel, type Kernel, type Shapes } from '../core/kernel';
import { differentialAttention, differentialAttentionGrad } from './differential';
import { latentAttention, latentAttentionGrad } from './latent';
import { tableProblem } from './tables';

const ints = ({ q, k, v, cos, sinks }: Shapes, attrs: Attrs) => [
  q[0], // B
  q[1], // T queries
  k[1], // S keys
  q[2], // H
  k[2], // Hk
  q[3], // d
  v[3], // width of a value
  Number(attrs.causal === true),
  Number(attrs.strict === true),
  Number(attrs.window ?? 0),
  cos ? 2 * cos[1] : 0, // channels that turn
  Number(attrs.alibi === true),
  Number(sinks !== undefined),
];
const floats = (attrs: Attrs) => [Number(attrs.scale), Number(attrs.softCap ?? 0)];

/**
 * q [B, T, H, d], k [B, S, Hk, d], v [B, S, Hk, e] to o [B, T, H, e] and lse [B, H, T], the logarithm to the base 2 of each row's sum of
 * exponentials (0 where a row sees nothing; its o is 0 too). Query head h reads key head floor(h · Hk / H). o[t] = Σ_s softmax_s(z[t,s]) v[s], z = scale · q[t]·k[s].
 * Query t stands at place p = t + S - T. Attributes:
 * - `scale`, usually 1/sqrt(d);
 * - `causal`: it sees keys s <= p; `strict`, with causal: only s < p;
 * - `window` w > 0: only keys less than w places away, its own included (with `strict`: the w keys before it);
 * - `softCap` c > 0: z becomes c · tanh(z / c) (arXiv 2408.00118);
 * - `alibi`: z falls by slope · |p - s|, slope[h] = 2^(-8 (h + 1) / H), after the cap (arXiv 2108.12409; H not a power of two: every other slope of
 *   twice as many heads fills up).
 * cos, sin [at least S, r/2]: the last r channels of q and k are turned first, channel i with i + r/2, key s by row s, query t by row p. Made in
 * float64 and rounded once; a pair that must not turn has cos 1 and sin 0. They get no gradient. Without them nothing turns.
 * sinks [H]: a further exponent a head in the softmax's sum, with no value to it (arXiv 2309.17453, as a learned number).
 */
export const attention = defineKernel({
  name: 'Attention',
  inputs: ['q', 'k', 'v', 'cos?', 'sin?', 'sinks?'],
  outputs: ({ q, v }) => ({ o: [q[0], q[1], q[2], v[3]], lse: [q[0], q[2], q[1]] }),
  ints,
  floats,
  refuses({ q, k, v, sinks, ...tables }, attrs) {
    for (const [name, shape] of Object.entries({ q, k, v }))
      if (shape.length !== 4) return `${name} must be [batch, tokens, heads, width], not [${shape.join(', ')}]`;
    if (k[0] !== q[0] || k[3] !== q[3]) return `q [${q}] and k [${k}] must agree in batch and head width`;
    if (String(v.slice(0, 3)) !== String(k.slice(0, 3))) return `k [${k}] and v [${v}] must agree in all but the width`;
    if (q[2] % k[2] !== 0) return `${k[2]} key heads do not divide ${q[2]} query heads`;
    if (q[3] < 1 || v[3] < 1) return 'a head needs at least one channel';
    if (attrs.causal === true && k[1] < q[1])
      return `causal attention wants at least as many keys as queries, not ${k[1]} keys for ${q[1]}`;
    if (attrs.strict === true && attrs.causal !== true) return 'strict goes with causal';
    if (k[1] < 1) return 'there is no key to attend to';
    if (!Number.isFinite(attrs.scale)) return `scale must be a finite number, not ${String(attrs.scale)}`;
    const { window = 0, softCap = 0 } = attrs;
    if (!Number.isInteger(window) || Number(window) < 0)
      return `window must be a whole number of tokens, 0 for none, not ${String(window)}`;
    if (!Number.isFinite(softCap) || Number(softCap) < 0)
      return `softCap must be 0 or a positive number, not ${String(softCap)}`;
    if (sinks && String(sinks) !== String([q[2]])) return `sinks [${sinks}] must be [${q[2]}], one a head`;
    return tableProblem(tables, q[1], k[1], q[3]);
  },
  gradient: {
    kernel: 'AttentionGrad',
    inputs: ['q', 'k', 'v', 'cos', 'sin', 'sinks'],
    outputs: ['o', 'lse'],
    cotangents: ['o'],
    of: ['q', 'k', 'v', 'sinks'],
  },
});

export const attentionGrad = defineKernel({
  name: 'AttentionGrad',
  inputs: ['q', 'k', 'v', 'cos?', 'sin?', 'sinks?', 'o', 'lse', 'do'],
  outputs: ({ q, k, v }) => ({ dq: q, dk: k, dv: v, dsinks: [q[2]] }),
  ints,
  floats,
});

export { differentialAttention, differentialAttentionGrad, latentAttention, latentAttentionGrad };
export const kernels: Kernel[] = [attention, attentionGrad];
