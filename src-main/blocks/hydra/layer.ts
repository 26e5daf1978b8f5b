// The Hydra block: project, convolve, mix in both directions, norm with gate, project.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer } from '../define';
import { stepSizes } from '../mamba2/reference';
import { centredConv } from '../parts/centred_conv';
import { linear, splitLinear } from '../parts/linear';
import { gatedRmsNorm } from '../parts/norm';
import { apart, mixPacked, type PackedQuasiseparable, quasiseparableMatrix } from '../parts/quasiseparable';
import { type HydraOptions, sizes } from './options';

export const layer: Layer<HydraOptions> = {
  forward(x, w, { options, extra }) {
    const { inner, H, G, N, conv } = sizes(options, x.shape[2]);
    const projected = splitLinear(x, w.w_in, w.b_in, [inner, conv, H, H]) as Tensor3D[];
    const [z, mixed, rawForward, rawBackward] = projected;
    const convolved = centredConv(mixed, w.conv_w, w.conv_b, 'silu');
    const dt = (raw: Tensor3D) => stepSizes(raw, w.dt_bias, options.dtLimit);
    const mix: PackedQuasiseparable = {
      mixed: convolved,
      ahead: dt(rawForward),
      back: dt(rawBackward),
      A: tf.neg(tf.exp(w.A_log)),
      D: w.D,
      w_D: w.w_D,
    };
    const reading = { groups: G, state: N, read: options.read };
    const y = mixPacked(mix, reading);
    extra?.('y_mix', y);
    if (extra) extra('M', quasiseparableMatrix(apart(mix, reading)));
    const normed = gatedRmsNorm(y, z, w.norm_w, { epsilon: options.normEps, groups: 1, gateFirst: false });
    return linear(normed, w.w_out, w.b_out) as Tensor3D;
  },
};
