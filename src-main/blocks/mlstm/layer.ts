// Around the matrix memory: two branches up, convolution, projections in blocks, gates from all channels, norm, skip, output gate, down.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { gatesOf } from '../mlstm_cell/fused';
import { emptyMemory, type Memory, step as stepCell } from '../mlstm_cell/reference';
import { causalConvSilu } from '../parts/causal_conv';
import { once } from '../parts/decoding';
import { headNorm } from '../parts/head_norm';
import { linear, splitLinear } from '../parts/linear';
import { outerStep } from '../parts/state_step';
import { convolveToken } from '../parts/tokens';
import { project, remember, sideBySide } from './inputs';
import { type MlstmOptions, sizes } from './options';

/** Memory branch u and output gate z [B, T, E] of x [B, T, D]. What has fewer rows is split: the product of a single token, else the weight. */
function up(x: Tensor3D, w: Weights): [Tensor3D, Tensor3D] {
  if (x.shape[1] === 1) return tf.split(linear(x, w.w_up, w.b_up), 2, 2) as [Tensor3D, Tensor3D];
  const E = w.w_up.shape[1]! / 2;
  return splitLinear(x, w.w_up, w.b_up, [E, E]) as [Tensor3D, Tensor3D];
}

/** The memory's output h [B, T, E] to the block's. */
function finish(h: Tensor, c: Tensor, z: Tensor, w: Weights, { heads, normEps }: MlstmOptions): Tensor3D {
  const gated = headNorm(h, heads, normEps, w.norm_w, { skip: w.skip, side: c, gate: z });
  return linear(gated, w.w_down, w.b_down) as Tensor3D;
}

export const layer: Layer<MlstmOptions> = {
  forward(x, w, { options }) {
    const [u, z] = up(x, w);
    const c = causalConvSilu(u, w.conv_w, w.conv_b);
    return finish(remember(c, u, w, options.heads, options), c, z, w, options);
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
    const weight = once(context, 'w_if', () => sideBySide(w).w);
    const bias = once(context, 'b_if', () => sideBySide(w).b);
    const [i, f] = gatesOf(three, weight, bias);
    const [q, k, v] = three.map((a) => tf.reshape(a, [B, H, d]));
    const gates = (a: Tensor) => tf.reshape(a, [B, H]);
    const now = { q, k, v, i: gates(i), f: gates(f) };
    const { y, memory } = stepCell(state as unknown as Memory, now, options, (inputs) => outerStep(context, inputs));
    const next: State = rows ? { ...memory, conv: rows } : { ...memory };
    return { y: finish(tf.reshape(y, [B, 1, E]), c, z, w, options), state: next };
  },
};
