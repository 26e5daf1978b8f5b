// Projections, decays, convolutions, norm and gate around gated linear attention, and the same token by token.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { causalConvSilu } from '../parts/causal_conv';
import { linear, linears } from '../parts/linear';
import { gatedRmsNorm, rmsNorm } from '../parts/norm';
import { outerStep } from '../parts/state_step';
import { convolveToken } from '../parts/tokens';
import { gatedLinearScan, logDecays } from './fused';
import { branches, FREE, type GatedLinearAttentionOptions, sizes } from './options';

type Branch = 'q' | 'k' | 'v';

/** Log decays [B, T, Hk·d]. */
function decaysOf(x: Tensor3D, w: Weights, { gateNormalizer, gateClampMin }: GatedLinearAttentionOptions): Tensor3D {
  const raw = linear(linear(x, w.w_gk1), w.w_gk2, w.b_gk2);
  const floor = gateClampMin > FREE ? gateClampMin : Number.NEGATIVE_INFINITY;
  return logDecays(raw, { share: 1 / gateNormalizer, floor }) as Tensor3D;
}

/** Branches [B, T, channels] as heads: q [B, T, H, d], scaled, k and g [B, T, Hk, d], v [B, T, Hk, e]. */
function intoHeads(u: Record<Branch | 'g', Tensor3D>, { H, Hk, d, e, scale }: ReturnType<typeof sizes>) {
  const [B, T] = u.q.shape;
  const heads = (one: Tensor, count: number, width: number) => tf.reshape(one, [B, T, count, width]) as Tensor4D;
  return { q: heads(tf.mul(u.q, scale), H, d), k: heads(u.k, Hk, d), v: heads(u.v, Hk, e), g: heads(u.g, Hk, d) };
}

/** o [B, T, H, e] of the input x [B, T, D], normed and gated, to the layer's output. */
function finish(o: Tensor, x: Tensor3D, w: Weights, { outputGate, normEps: epsilon }: GatedLinearAttentionOptions) {
  const [B, T, H, e] = o.shape as [number, number, number, number];
  const normed = outputGate
    ? gatedRmsNorm(o, tf.reshape(linear(x, w.w_g), o.shape), w.norm_w, { epsilon, groups: 1, gateFirst: false })
    : rmsNorm(o, w.norm_w, epsilon);
  return linear(tf.reshape(normed, [B, T, H * e]), w.w_o) as Tensor3D;
}

export const layer: Layer<GatedLinearAttentionOptions> = {
  forward(x, w, { options, extra }) {
    const size = sizes(options, x.shape[2]);
    const names: Branch[] = ['q', 'k', 'v'];
    const projected = linears(
      x,
      names.map((name) => w[`w_${name}`]),
    ) as Tensor3D[];
    const [q, k, v] = projected.map((u, i) =>
      size.K ? causalConvSilu(u, w[`conv_${names[i]}`], w[`conv_b_${names[i]}`]) : u,
    );
    const g = decaysOf(x, w, options);
    extra?.('log_gate', g);
    const o = gatedLinearScan(intoHeads({ q, k, v, g }, size));
    return finish(o, x, w, options);
  },

  begin(batch, width, options): State {
    const size = sizes(options, width);
    const state: State = { kv: tf.zeros([batch, size.Hk, size.d, size.e]) };
    if (size.K > 1)
      for (const [name, channels] of Object.entries(branches(size)))
        state[`conv_${name}`] = tf.zeros([batch, size.K - 1, channels]);
    return state;
  },

  step(x, w, state, context) {
    const { options } = context;
    const [B, , D] = x.shape;
    const size = sizes(options, D);
    const next: State = {};
    const branch = (name: Branch) => {
      const u = linear(x, w[`w_${name}`]) as Tensor3D; // [B, 1, channels]
      if (!size.K) return u;
      const { y, rows } = convolveToken(state[`conv_${name}`], u, w[`conv_${name}`], w[`conv_b_${name}`]);
      if (rows) next[`conv_${name}`] = rows;
      return y;
    };
    const g = decaysOf(x, w, options);
    const heads = intoHeads({ q: branch('q'), k: branch('k'), v: branch('v'), g }, size);
    const token = (u: Tensor4D) => tf.reshape(u, [B, u.shape[2], u.shape[3]]);
    const { q, k, v } = heads;
    const keep = tf.exp(token(heads.g));
    const { y, s } = outerStep(context, { s: state.kv, q: token(q), k: token(k), v: token(v), keep });
    next.kv = s;
    return { y: finish(tf.expandDims(y, 1), x, w, options), state: next };
  },
};
