// Projections around the smoothing: the whole sequence at once, and token by token from all stored pairs.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, State, Weights } from '../define';
import { append, once } from '../parts/decoding';
import { linear, linears } from '../parts/linear';
import { keysOf, leakyKeys, leakySum, type Made } from '../parts/memory_key';
import { mixValues, smooth } from './fused';
import type { MosaicOptions } from './options';
import { recall, smooth as smoothAndSee, valuesOf } from './reference';

/** Raw keys and values [B, T, H, d]. */
function project(x: Tensor3D, w: Weights, { heads: H }: MosaicOptions) {
  const [B, T, D] = x.shape;
  const raw = linears(x, [w.w_k, w.w_v], [w.b_k, w.b_v]);
  const [rawKeys, rawValues] = raw.map((u) => tf.reshape(u, [B, T, H, D / H]) as Tensor4D);
  return { rawKeys, rawValues };
}

export const layer: Layer<MosaicOptions> = {
  forward(x, w, { options, extra }) {
    const [B, T, D] = x.shape;
    const { rawKeys, rawValues } = project(x, w, options);
    const keys = leakyKeys(rawKeys, w.leak, w.key_scale, 1, options);
    const values = mixValues(rawValues, w.val_mix, w.val_scale, options);
    if (extra) smoothAndSee(keys, values, (weights) => extra('att', weights)); // the kernel keeps no map
    return linear(tf.reshape(smooth(keys, values), [B, T, D]), w.w_o, w.b_o) as Tensor3D;
  },

  begin: (batch, width, { heads: H }) => ({ leak_sum: tf.zeros([batch, H, width / H]) }),

  step(x, w, state, context) {
    const { options } = context;
    const [B, , D] = x.shape;
    const { heads: H } = options;
    const d = D / H;
    const { rawKeys, rawValues } = project(x, w, options);
    const made: Made = (name, make) => once(context, name, make);
    const leak_sum = leakySum(state.leak_sum, tf.reshape(rawKeys, [B, H, d]), w.leak, options, made);
    const k = keysOf(leak_sum, w.key_scale, 1, options, made); // [B, H, d]
    const v_last = tf.reshape(rawValues, [B, H, d]); // waits for its successor
    const keep = (name: string, u: Tensor) => append(context, name, state[name], tf.reshape(u, [B, H, 1, d]));
    const keys = keep('keys', k);
    const next: State = { keys: keys.rows, leak_sum, v_last };
    let y: Tensor = tf.zeros([B, H, d]);
    if (state.v_last) {
      const values = keep('values', valuesOf(state.v_last, v_last, w.val_mix, w.val_scale, options, made));
      y = recall(k, keys, values); // the own key has no value yet, so it is not seen
      next.values = values.rows;
    }
    return { y: linear(tf.reshape(y, [B, 1, D]), w.w_o, w.b_o) as Tensor3D, state: next };
  },
};
