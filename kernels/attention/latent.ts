// Attention whose keys have a part of their own, which never turns, and a rotary part that all heads share: read where the projections leave them.
import { type Attrs, defineKernel, type Shapes } from '../core/kernel';
import { tableProblem } from './tables';

const ints = ({ q, kv, cos }: Shapes, attrs: Attrs) => [
  q[0], // B
  q[1], // T queries
  kv[1], // S keys
  q[2], // H
  kv[2], // Hk
  q[3], // d
  kv[3], // channels of kv
  Number(attrs.causal === true),
  Number(attrs.own),
  Number(attrs.valueAt),
  cos ? 2 * cos[1] : 0, // channels that turn
];
const floats = (attrs: Attrs) => [Number(attrs.scale)];

/**
 * q [B, T, H, d], kv [B, S, Hk, n], shared [B, S, r] to o [B, T, H, e] and lse [B, H, T]. The key of head g is the first `own` = d - r channels of
 * kv[g], then shared; its value are the channels of kv[g] from `valueAt` on: `own` (MLA, GLA), or 0, where key and value are tied (GTA).
 * Query head h reads head floor(h · Hk / H). o[t] = Σ_s softmax_s(scale · q[t]·k[s]) v[s]; `causal`: query t sees keys s <= t + S - T.
 * cos, sin [at least S, r/2] turn shared and the last r channels of q, as `Attention` says; without them nothing turns.
 */
export const latentAttention = defineKernel({
  name: 'LatentAttention',
  inputs: ['q', 'kv', 'shared', 'cos?', 'sin?'],
  outputs: ({ q, kv }, { valueAt }) => ({
    o: [q[0], q[1], q[2], kv[3] - Number(valueAt)],
    lse: [q[0], q[2], q[1]],
  }),
  ints,
  floats,
  refuses({ q, kv, shared, ...tables }, { scale, causal, own, valueAt }) {
    for (const [name, shape] of Object.entries({ q, kv }))
      if (shape.length !== 4) return `${name} must be [batch, tokens, heads, width], not [${shape.join(', ')}]`;
    if (String(shared) !== String([kv[0], kv[1], shared[2]]) || kv[0] !== q[0])
      return `q [${q}], kv [${kv}] and shared [${shared}] must agree in batch and tokens`;
    if (own !== q[3] - shared[2]) return `own must be ${q[3]} - ${shared[2]} channels, not ${String(own)}`;
    if (Number(own) < 1 || Number(own) > kv[3]) return `kv has no ${String(own)} channels for a key`;
    if ((valueAt !== 0 && valueAt !== own) || Number(valueAt) >= kv[3])
      return `valueAt must be 0 or ${String(own)} and leave a value, not ${String(valueAt)}`;
    if (q[2] % kv[2] !== 0) return `${kv[2]} key heads do not divide ${q[2]} query heads`;
    if (causal === true && kv[1] < q[1])
      return `causal attention wants at least as many keys as queries, not ${kv[1]} keys for ${q[1]}`;
    if (kv[1] < 1) return 'there is no key to attend to';
    if (!Number.isFinite(scale)) return `scale must be a finite number, not ${String(scale)}`;
    return tableProblem(tables, q[1], kv[1], shared[2]) ?? halfTurned(tables, shared[2]);
  },
  gradient: {
    kernel: 'LatentAttentionGrad',
    inputs: ['q', 'kv', 'shared', 'cos', 'sin'],
    outputs: ['o', 'lse'],
    cotangents: ['o'],
    of: ['q', 'kv', 'shared'],
  },
});

/** Tables must turn the shared part whole. */
const halfTurned = ({ cos }: Shapes, width: number): string | undefined =>
  cos && 2 * cos[1] !== width ? `cos and sin must turn all ${width} shared channels, not ${2 * cos[1]}` : undefined;

export const latentAttentionGrad = defineKernel({
  name: 'LatentAttentionGrad',
  inputs: ['q', 'kv', 'shared', 'cos?', 'sin?', 'o', 'lse', 'do'],
  outputs: ({ q, kv, shared }) => ({ dq: q, dkv: kv, dshared: shared }),
  ints,
  floats,
});
