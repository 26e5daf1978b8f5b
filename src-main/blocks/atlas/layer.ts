// Projections, short convolutions and gates around the memory, and the norm with its gate after it; the same token by token.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { type Inputs, readAll, readOne, type Start } from '../atlas_memory/memory';
import type { Layer, State, Weights } from '../define';
import { activate } from '../parts/activation';
import { causalConvSilu } from '../parts/causal_conv';
import { when } from '../parts/decoding';
import { linear } from '../parts/linear';
import { gatedRmsNorm } from '../parts/norm';
import { convolveToken } from '../parts/tokens';
import { type AtlasOptions, sizes } from './options';

const NAMES = ['q', 'k', 'v'] as const;
type Name = (typeof NAMES)[number];

/** u [B, T, H·d] to [B, H, T, d]. */
const byHead = (u: Tensor, H: number): Tensor => {
  const [B, T, inner] = u.shape as [number, number, number];
  return tf.transpose(tf.reshape(u, [B, T, H, inner / H]), [0, 2, 1, 3]);
};
const unit = (u: Tensor, epsilon: number): Tensor =>
  tf.mul(u, tf.rsqrt(tf.add(tf.sum(tf.square(u), -1, true), epsilon)));

/** Everything that the memory reads: from x [B, T, D] and the convolved queries, keys and values [B, T, H·d]. */
function inputsOf(
  x: Tensor3D,
  mixed: Record<Name, Tensor>,
  w: Weights,
  { heads: H, etaMax, l2Eps }: AtlasOptions,
): Inputs {
  const gate = (name: string) => tf.sigmoid(tf.transpose(linear(x, w[`w_${name}`], w[`b_${name}`]), [0, 2, 1])); // [B, H, T]
  return {
    q: unit(byHead(mixed.q, H), l2Eps),
    k: unit(byHead(mixed.k, H), l2Eps),
    v: byHead(mixed.v, H),
    alpha: gate('alpha'),
    eta: tf.mul(gate('eta'), etaMax),
    theta: gate('theta'),
    gamma: gate('gamma'),
  };
}

const start = (w: Weights): Start => ({ poly_coef: w.poly_coef, mem_w1: w.mem_w1, mem_w2: w.mem_w2 });

/** o [B, H, T, d] to the layer's output [B, T, D]. */
function finish(o: Tensor, x: Tensor3D, w: Weights, { heads: H, normEps }: AtlasOptions): Tensor3D {
  const [B, , T, d] = o.shape as [number, number, number, number];
  const flat = tf.reshape(tf.transpose(o, [0, 2, 1, 3]), [B, T, H * d]);
  const gated = gatedRmsNorm(flat, linear(x, w.w_g), w.norm_w, { epsilon: normEps, groups: H, gateFirst: false });
  return linear(gated, w.w_o) as Tensor3D;
}

export const layer: Layer<AtlasOptions> = {
  forward(x, w, { options }) {
    const mix = (name: Name) => {
      const raw = linear(x, w[`w_${name}`]) as Tensor3D;
      return options.convSize > 0 ? causalConvSilu(raw, w[`conv_${name}`]) : activate('silu', raw);
    };
    const mixed = { q: mix('q'), k: mix('k'), v: mix('v') };
    return finish(readAll(inputsOf(x, mixed, w, options), start(w), options), x, w, options);
  },

  // The memory starts from weights, so it joins the state with the first token.
  begin(batch, width, options) {
    const { inner, K } = sizes(options, width);
    if (K < 2) return {};
    return Object.fromEntries(NAMES.map((name) => [`in_${name}`, tf.zeros([batch, K - 1, inner])]));
  },

  step(x, w, state, context) {
    const { options } = context;
    const rows: State = {};
    const mix = (name: Name) => {
      const raw = linear(x, w[`w_${name}`]) as Tensor3D;
      if (options.convSize === 0) return activate('silu', raw);
      const done = convolveToken(state[`in_${name}`], raw, w[`conv_${name}`]);
      if (done.rows) rows[`in_${name}`] = done.rows;
      return done.y;
    };
    const mixed = { q: mix('q'), k: mix('k'), v: mix('v') };
    const begins = when(context, `chunk ${options.chunk}`, (position) => position % options.chunk === 0);
    const done = readOne(inputsOf(x, mixed, w, options), start(w), state, begins, options);
    return { y: finish(done.y, x, w, options), state: { ...done.state, ...rows } };
  },
};
