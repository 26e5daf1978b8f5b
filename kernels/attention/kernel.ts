// Softmax attention with grouped key and value heads, causal or not, with rotary positions turned inside the kernel.
import { type Attrs, defineKernel, type Kernel, type Shapes } from '../core/kernel';

const ints = ({ q, k, v, cos }: Shapes, attrs: Attrs) => [
  q[0], // B
  q[1], // T queries
  k[1], // S keys
  q[2], // H
  k[2], // Hk
  q[3], // d
  v[3], // width of a value
  Number(attrs.causal === true),
  Number(cos !== undefined),
];
const floats = (attrs: Attrs) => [Number(attrs.scale)];

/**
 * q [B, T, H, d], k [B, S, Hk, d], v [B, S, Hk, e] to o [B, T, H, e] and lse [B, H, T], the logarithm of each row's sum of exponentials.
 * Query head h reads key head floor(h · Hk / H). o[t] = Σ_s softmax_s(scale · q[t]·k[s]) v[s].
 * Attributes: `scale` (usually 1/sqrt(d)); `causal`: query t sees keys s <= t + S - T (the last query sees all keys; default false).
 * cos, sin [at least S, d/2]: q and k are turned first, channel i with i + d/2, key s by row s, query t by row t + S - T. Made in float64 and
 * rounded once; a pair that must not turn has cos 1 and sin 0. They get no gradient. Without them nothing turns.
 */
export const attention = defineKernel({
  name: 'Attention',
  inputs: ['q', 'k', 'v', 'cos?', 'sin?'],
  outputs: ({ q, v }) => ({ o: [q[0], q[1], q[2], v[3]], lse: [q[0], q[2], q[1]] }),
  ints,
  floats,
  refuses({ q, k, v, cos, sin }, attrs) {
    for (const [name, shape] of Object.entries({ q, k, v }))
      if (shape.length !== 4) return `${name} must be [batch, tokens, heads, width], not [${shape.join(', ')}]`;
    if (k[0] !== q[0] || k[3] !== q[3]) return `q [${q}] and k [${k}] must agree in batch and head width`;
    if (String(v.slice(0, 3)) !== String(k.slice(0, 3))) return `k [${k}] and v [${v}] must agree in all but the width`;
    if (q[2] % k[2] !== 0) return `${k[2]} key heads do not divide ${q[2]} query heads`;
    if (q[3] < 1 || v[3] < 1) return 'a head needs at least one channel';
    if (attrs.causal === true && k[1] < q[1])
      return `causal attention wants at least as many keys as queries, not ${k[1]} keys for ${q[1]}`;
    if (k[1] < 1) return 'there is no key to attend to';
    if (!Number.isFinite(attrs.scale)) return `scale must be a finite number, not ${String(attrs.scale)}`;
    if ((cos === undefined) !== (sin === undefined)) return 'cos and sin come together or not at all';
    if (cos && sin) {
      if (q[3] % 2 !== 0) return `rotary turns pairs, so it wants an even head width, not ${q[3]}`;
      if (k[1] < q[1]) return `rotary tables want at least as many keys as queries, not ${k[1]} keys for ${q[1]}`;
      for (const [name, shape] of Object.entries({ cos, sin }))
        if (shape.length !== 2 || shape[0] < k[1] || shape[1] !== q[3] / 2)
          return `${name} [${shape}] must be [at least ${k[1]}, ${q[3] / 2}]`;
    }
    return undefined;
  },
  gradient: {
    kernel: 'AttentionGrad',
    inputs: ['q', 'k', 'v', 'cos', 'sin'],
    outputs: ['o', 'lse'],
    cotangents: ['o'],
    of: ['q', 'k', 'v'],
  },
});

export const attentionGrad = defineKernel({
  name: 'AttentionGrad',
  inputs: ['q', 'k', 'v', 'cos?', 'sin?', 'o', 'lse', 'do'],
  outputs: ({ q, k, v }) => ({ dq: q, dk: k, dv: v }),
  ints,
  floats,
});

export const kernels: Kernel[] = [attention, attentionGrad];
