// The Mamba-2 block: project, convolve, scan, norm with gate, project; and the same token by token.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { causalConvSilu } from '../parts/causal_conv';
import { once } from '../parts/decoding';
import { linear, splitLinear } from '../parts/linear';
import { gatedRmsNorm } from '../parts/norm';
import { convolvedScan, scanStep } from '../ssd_scan/fused';
import { type Mamba2Options, sizes } from './options';
import { convolveNewest, stepSizes } from './reference';

/** Gate z [B, T, inner], channels of the convolution [B, T, conv] and raw step sizes [B, T, H]. */
function project(x: Tensor3D, w: Weights, { inner, conv, H }: ReturnType<typeof sizes>) {
  const parts = [inner, conv, H];
  // What has fewer rows is split: the product of a single token, else the weight.
  if (x.shape[1] === 1) return tf.split(linear(x, w.w_in, w.b_in), parts, 2) as [Tensor3D, Tensor3D, Tensor3D];
  return splitLinear(x, w.w_in, w.b_in, parts) as [Tensor3D, Tensor3D, Tensor3D];
}

/** y [B, T, inner] with its gate to the block's output. */
function finish(y: Tensor, z: Tensor, w: Weights, { groups, normEps, normBeforeGate }: Mamba2Options): Tensor3D {
  const normed = gatedRmsNorm(y, z, w.norm_w, { epsilon: normEps, groups, gateFirst: !normBeforeGate });
  return linear(normed, w.w_out, w.b_out) as Tensor3D;
}

const rate = (w: Weights): Tensor => tf.neg(tf.exp(w.A_log));

export const layer: Layer<Mamba2Options> = {
  forward(x, w, { options, extra }) {
    const size = sizes(options, x.shape[2]);
    const [z, mixed, raw] = project(x, w, size);
    const dt = stepSizes(raw, w.dt_bias, options.dtLimit);
    const y = convolvedScan({ mixed, taps: w.conv_w, bias: w.conv_b, dt, A: rate(w), D: w.D }, size);
    extra?.('dt', dt);
    if (extra) extra('xBC', causalConvSilu(mixed, w.conv_w, w.conv_b));
    extra?.('y_ssd', y);
    return finish(y, z, w, options);
  },

  begin(batch, width, options): State {
    const { H, P, N, K, conv } = sizes(options, width);
    const ssm = tf.zeros([batch, H, P, N]);
    return K > 1 ? { ssm, conv: tf.zeros([batch, K - 1, conv]) } : { ssm };
  },

  step(x, w, state, context) {
    const { options } = context;
    const [b, , width] = x.shape;
    const size = sizes(options, width);
    const { inner, H, P, G, N, K, conv } = size;
    const [z, mixed, raw] = project(x, w, size); // [b, 1, …]
    const rows = K > 1 ? tf.concat([state.conv, mixed], 1) : mixed; // [b, K, conv]
    const xBC = convolveNewest(rows, w.conv_w, w.conv_b);
    const [values, B, C] = tf.split(xBC, [inner, G * N, G * N], 1);
    const { y, S } = scanStep(context, state.ssm, {
      x: tf.reshape(values, [b, H, P]),
      dt: tf.reshape(stepSizes(raw, w.dt_bias, options.dtLimit), [b, H]),
      A: once(context, 'rate', () => rate(w)),
      B: tf.reshape(B, [b, G, N]),
      C: tf.reshape(C, [b, G, N]),
      D: w.D,
    });
    const next: State = K > 1 ? { ssm: S, conv: tf.slice(rows, [0, 1, 0], [b, K - 1, conv]) } : { ssm: S };
    return { y: finish(tf.reshape(y, [b, 1, inner]), z, w, options), state: next };
  },
};
