// The LSTM over a whole sequence, and token by token from its output and cell.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { hiddenWidth, inputGates, output } from '../parts/recurrent';
import { lstmRun, lstmToken } from './fused';
import type { LstmOptions } from './options';

/** The two biases only ever add up. */
const bias = ({ b_x, b_h }: Weights): Tensor | undefined => b_x && tf.add(b_x, b_h);

export const layer: Layer<LstmOptions> = {
  forward: (x, w) => output(lstmRun(inputGates(x, w.w_x, bias(w)), w.w_h), w),

  begin(batch, width, options) {
    const zeros = () => tf.zeros([batch, hiddenWidth(options, width)]);
    return { h: zeros(), c: zeros() };
  },

  step(x, w, { h, c }) {
    const gates = tf.squeeze(inputGates(x, w.w_x, bias(w)), [1]);
    const cell = lstmToken({ h, c }, gates, w.w_h);
    return { y: output(tf.expandDims(cell.h, 1) as Tensor3D, w), state: { ...cell } };
  },
};
