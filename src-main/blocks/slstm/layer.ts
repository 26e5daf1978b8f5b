// Around the scalar memory: a convolution into input and forget gates, projections by head, a norm of each head.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { causalConvSilu } from '../parts/causal_conv';
import { isFirst, once } from '../parts/decoding';
import { headNorm } from '../parts/head_norm';
import { convolveToken } from '../parts/tokens';
import { gatesOf, mappedSlstm, type SlstmWeights } from '../slstm_cell/fused';
import { asMemory, asState, byHead, type Memory, run } from '../slstm_cell/reference';
import type { SlstmOptions } from './options';

export const layer: Layer<SlstmOptions> = {
  forward(x, w, { options }) {
    const y = mappedSlstm(causalConvSilu(x, w.conv_w, w.conv_b), x, w as Weights & SlstmWeights);
    return headNorm(y, options.heads, options.normEps, w.norm_w);
  },

  begin(batch, width, { convSize: K }): State {
    const names: (keyof Memory)[] = ['h', 'c', 'n', 'm'];
    const state: State = Object.fromEntries(names.map((name) => [name, tf.zeros([batch, width])]));
    return K > 1 ? { ...state, conv: tf.zeros([batch, K - 1, width]) } : state;
  },

  step(x, w, state, context) {
    const { options } = context;
    const { conv, ...kept } = state;
    const { y: c, rows } = convolveToken(conv, x, w.conv_w, w.conv_b);
    const before = isFirst(context) ? undefined : asMemory(kept as Record<keyof Memory, Tensor>, options.heads);
    const weights = {
      recurrent: once(context, 'recurrent', () => byHead({ r: w.r, b: w.b }).recurrent),
      biases: once(context, 'biases', () => byHead({ r: w.r, b: w.b }).biases),
    };
    const { y, memory } = run(gatesOf(c, x, w as Weights & SlstmWeights), before, weights);
    const next: State = rows ? { ...asState(memory), conv: rows } : asState(memory);
    return { y: headNorm(y, options.heads, options.normEps, w.norm_w), state: next };
  },
};
