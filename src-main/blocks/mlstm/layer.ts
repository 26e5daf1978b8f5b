// Around the matrix memory: two branches up, convolution, projections in blocks, gates from all channels, norm, skip, output gate, down.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { type GateWeights, gatedMlstm, gatesOf } from '../mlstm_cell/fused';
import { emptyMemory, type Memory, step as stepCell } from '../mlstm_cell/reference';
import { blockDiagonal } from '../parts/block_diagonal';
import { causalConvSilu } from '../parts/causal_conv';
import { once } from '../parts/decoding';
import { headNorm } from '../parts/head_norm';
import { linear, splitLinear } from '../parts/linear';
import { outerStep } from '../parts/state_step';
import { convolveToken } from '../parts/tokens';
import { type MlstmOptions, sizes } from './options';

/** Memory branch u and output gate z [B, T, E] of x [B, T, D]. What has fewer rows is split: the product of a single token, else the weight. */
function up(x: Tensor3D, w: Weights): [Tensor3D, Tensor3D] {
  if (x.shape[1] === 1) return tf.split(linear(x, w.w_up, w.b_up), 2, 2) as [Tensor3D, Tensor3D];
  const E = w.w_up.shape[1]! / 2;
  return splitLinear(x, w.w_up, w.b_up, [E, E]) as [Tensor3D, Tensor3D];
}

/** Queries, keys and values [B, T, E] of the convolved c and the plain u [B, T, E]. */
const project = (c: Tensor3D, u: Tensor3D, w: Weights): Tensor[] => [
  blockDiagonal(c, w.w_q, w.b_q),
  blockDiagonal(c, w.w_k, w.b_k),
  blockDiagonal(u, w.w_v, w.b_v),
];

const gateWeights = ({ w_i, b_i, w_f, b_f }: Weights): GateWeights => ({ w_i, b_i, w_f, b_f });

/** The memory's output h [B, T, E] to the block's. */
function finish(h: Tensor, c: Tensor, z: Tensor, w: Weights, { heads, normEps }: MlstmOptions): Tensor3D {
  const gated = headNorm(h, heads, normEps, w.norm_w, { skip: w.skip, side: c, gate: z });
  return linear(gated, w.w_down, w.b_down) as Tensor3D;
}

export const layer: Layer<MlstmOptions> = {
  forward(x, w, { options }) {
    const [B, T, width] = x.shape;
    const { E, H, d } = sizes(options, width);
    const [u, z] = up(x, w);
    const c = causalConvSilu(u, w.conv_w, w.conv_b);
    const [q, k, v] = project(c, u, w).map((a) => tf.reshape(a, [B, T, H, d]) as Tensor4D);
    const h = tf.reshape(gatedMlstm({ q, k, v }, gateWeights(w), options), [B, T, E]);
    return finish(h, c, z, w, options);
  },

  begin(batch, width, options): State {
    const { E, H, d, K } = sizes(options, width);
    const memory = emptyMemory(batch, H, d);
    return K > 1 ? { ...memory, conv: tf.zeros([batch, K - 1, E]) } : { ...memory };
  },

  step(x, w, state, context) {
    const { options } = context;
    const [B, , width] = x.shape;
    const { E, H, d } = sizes(options, width);
    const [u, z] = up(x, w);
    const { y: c, rows } = convolveToken(state.conv, u, w.conv_w, w.conv_b);
    const three = project(c, u, w);
    const weight = once(context, 'w_if', () => tf.concat([w.w_i, w.w_f], 1));
    const bias = once(context, 'b_if', () => tf.concat([w.b_i, w.b_f], 0));
    const [i, f] = gatesOf(three, weight, bias);
    const [q, k, v] = three.map((a) => tf.reshape(a, [B, H, d]));
    const gates = (a: Tensor) => tf.reshape(a, [B, H]);
    const now = { q, k, v, i: gates(i), f: gates(f) };
    const { y, memory } = stepCell(state as unknown as Memory, now, options, (inputs) => outerStep(context, inputs));
    const next: State = rows ? { ...memory, conv: rows } : { ...memory };
    return { y: finish(tf.reshape(y, [B, 1, E]), c, z, w, options), state: next };
  },
};
