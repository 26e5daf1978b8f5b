// The LSTM over a whole sequence, and token by token from its output and cell.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer } from '../define';
import { hiddenWidth, inputGates, output, walk } from '../parts/recurrent';
import type { LstmOptions } from './options';
import { type Cell, step } from './reference';

/** Before the first token. */
const start = (batch: number, width: number, options: LstmOptions) => {
  const zeros = () => tf.zeros([batch, hiddenWidth(options, width)]);
  return { h: zeros(), c: zeros() };
};

export const layer: Layer<LstmOptions> = {
  forward(x, w, { options }) {
    let cell: Cell = start(x.shape[0], x.shape[2], options);
    const states = walk(inputGates(x, w), (gates: Tensor) => {
      cell = step(cell, gates, w.w_h, w.b_h);
      return cell.h;
    });
    return output(states, w);
  },

  begin: start,

  step(x, w, { h, c }) {
    const gates = tf.squeeze(inputGates(x, w), [1]);
    const cell = step({ h, c }, gates, w.w_h, w.b_h);
    return { y: output(tf.expandDims(cell.h, 1) as Tensor3D, w), state: { ...cell } };
  },
};
