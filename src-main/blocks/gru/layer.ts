// The GRU over a whole sequence, and token by token from its state.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer } from '../define';
import { hiddenWidth, inputGates, output } from '../parts/recurrent';
import { gruRun, gruToken } from './fused';
import type { GruOptions } from './options';

export const layer: Layer<GruOptions> = {
  forward: (x, w) => output(gruRun(inputGates(x, w.w_x, w.b_x), w.w_h, w.b_h), w),

  begin: (batch, width, options) => ({ h: tf.zeros([batch, hiddenWidth(options, width)]) }),

  step(x, w, state) {
    const h = gruToken(state.h, tf.squeeze(inputGates(x, w.w_x, w.b_x), [1]), w.w_h, w.b_h);
    return { y: output(tf.expandDims(h, 1) as Tensor3D, w), state: { h } };
  },
};
