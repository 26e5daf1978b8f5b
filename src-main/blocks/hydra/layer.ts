// The Hydra block: project, convolve, mix in both directions, norm with gate, project.
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer } from '../define';
import { stepSizes } from '../mamba2/reference';
import { centredConv } from '../parts/centred_conv';
import { linear, splitLinear } from '../parts/linear';
import { gatedRmsNorm } from '../parts/norm';
import { mixQuasiseparable, ownWeight, type Quasiseparable, quasiseparableMatrix } from '../parts/quasiseparable';
import { type HydraOptions, sizes } from './options';

export const layer: Layer<HydraOptions> = {
  forward(x, w, { options, extra }) {
    const [b, T, width] = x.shape;
    const { inner, H, P, G, N, conv } = sizes(options, width);
    const projected = splitLinear(x, w.w_in, w.b_in, [inner, conv, H, H]) as Tensor3D[];
    const [z, mixed, rawForward, rawBackward] = projected;
    const convolved = centredConv(mixed, w.conv_w, w.conv_b, 'silu');
    const [values, ...maps] = tf.split(convolved, [inner, G * N, G * N, G * N, G * N], 2);
    const [Bf, Cf, Bb, Cb] = maps.map((map) => tf.reshape(map, [b, T, G, N]) as Tensor4D);
    const v = tf.reshape(values, [b, T, H, P]) as Tensor4D;
    const dt = (raw: Tensor3D) => stepSizes(raw, w.dt_bias, options.dtLimit);
    const mix: Quasiseparable = {
      x: v,
      A: tf.neg(tf.exp(w.A_log)),
      forward: { dt: dt(rawForward), B: Bf, C: Cf },
      backward: { dt: dt(rawBackward), B: Bb, C: Cb },
      diagonal: ownWeight(v, w.D, w.w_D),
      read: options.read,
    };
    const y = tf.reshape(mixQuasiseparable(mix, convolved), [b, T, inner]);
    extra?.('y_mix', y);
    if (extra) extra('M', quasiseparableMatrix(mix));
    const normed = gatedRmsNorm(y, z, w.norm_w, { epsilon: options.normEps, groups: 1, gateFirst: false });
    return linear(normed, w.w_out, w.b_out) as Tensor3D;
  },
};
