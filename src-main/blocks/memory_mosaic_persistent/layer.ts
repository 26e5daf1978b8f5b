// Keys from the leaky sum, the stored pairs that they ask, and the projection of the answers; decoding keeps the sum alone.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { linear } from '../parts/linear';
import { keysOf, leakyKeys, leakySum, lengthOf } from '../parts/memory_key';
import { consult } from './fused';
import type { PersistentOptions } from './options';

/** Keys k [B, T, H, d] to the block's output [B, T, D]. */
function answer(k: Tensor, w: Weights, options: PersistentOptions): Tensor3D {
  const [B, T, H, d] = k.shape as [number, number, number, number];
  const [P] = w.mem_k.shape;
  const each = tf.reshape(k, [1, B * T, H, d]);
  const queries = P === 1 ? each : tf.concat(Array<Tensor>(P).fill(each), 0); // every memory hears the same
  const stored = (u: Tensor) => tf.transpose(u, [0, 2, 1, 3]) as Tensor4D; // [P, N, H, d]
  // The output factor and the mean over the memories go with the stored values, which are few.
  const values = tf.mul(stored(w.mem_v), tf.div(lengthOf(w.out_scale, options), P));
  const answers = consult(queries as Tensor4D, stored(w.mem_k), values as Tensor4D); // [P, B·T, H, d]
  return linear(tf.reshape(P === 1 ? answers : tf.sum(answers, 0), [B, T, H * d]), w.w_o, w.b_o) as Tensor3D;
}

/** Raw keys [B, T, H, d]. */
function project(x: Tensor3D, w: Weights, H: number): Tensor4D {
  const [B, T, D] = x.shape;
  return tf.reshape(linear(x, w.w_k, w.b_k), [B, T, H, D / H]) as Tensor4D;
}

export const layer: Layer<PersistentOptions> = {
  forward(x, w, { options }) {
    const keys = leakyKeys(project(x, w, options.heads), w.leak, w.key_scale, 2, options);
    return answer(keys, w, options);
  },

  begin: (batch, width, { heads: H }) => ({ leak_sum: tf.zeros([batch, H, width / H]) }),

  step(x, w, state, { options }) {
    const raw = tf.squeeze(project(x, w, options.heads), [1]); // [B, H, d]
    const leak_sum = leakySum(state.leak_sum, raw, w.leak, options);
    const key = keysOf(leak_sum, w.key_scale, 2, options);
    return { y: answer(tf.expandDims(key, 1), w, options), state: { leak_sum } };
  },
};
