// The GRU over a whole sequence, and token by token from its state.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer } from '../define';
import { hiddenWidth, inputGates, output, walk } from '../parts/recurrent';
import type { GruOptions } from './options';
import { step } from './reference';

/** Before the first token. */
const start = (batch: number, width: number, options: GruOptions) => ({
  h: tf.zeros([batch, hiddenWidth(options, width)]),
});

export const layer: Layer<GruOptions> = {
  forward(x, w, { options }) {
    let { h }: { h: Tensor } = start(x.shape[0], x.shape[2], options);
    const states = walk(inputGates(x, w), (gates) => {
      h = step(h, gates, w.w_h, w.b_h);
      return h;
    });
    return output(states, w);
  },

  begin: start,

  step(x, w, state) {
    const h = step(state.h, tf.squeeze(inputGates(x, w), [1]), w.w_h, w.b_h);
    return { y: output(tf.expandDims(h, 1) as Tensor3D, w), state: { h } };
  },
};
