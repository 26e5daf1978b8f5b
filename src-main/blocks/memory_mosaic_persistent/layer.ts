// Keys from the leaky sum, the stored pairs that they ask, and the projection of the answers; decoding keeps the sum alone.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { linear } from '../parts/linear';
import { keysOf, leakySum, leakySums, lengthOf } from '../parts/memory_key';
import { consult } from './fused';
import type { PersistentOptions } from './options';

/** Sums a [B, T, H, d] of raw keys to the block's output [B, T, D]. */
function answer(a: Tensor, w: Weights, options: PersistentOptions): Tensor3D {
  const [B, T, H, d] = a.shape as [number, number, number, number];
  const [P] = w.mem_k.shape;
  const k = tf.reshape(keysOf(a, w.key_scale, 2, options), [1, B * T, H, d]);
  const queries = P === 1 ? k : tf.concat(Array<Tensor>(P).fill(k), 0); // every memory hears the same
  const stored = (u: Tensor) => tf.transpose(u, [0, 2, 1, 3]) as Tensor4D; // [P, N, H, d]
  const answers = consult(queries as Tensor4D, stored(w.mem_k), stored(w.mem_v)); // [P, B·T, H, d]
  const scaled = tf.mul(tf.mean(answers, 0), lengthOf(w.out_scale, options));
  return linear(tf.reshape(scaled, [B, T, H * d]), w.w_o, w.b_o) as Tensor3D;
}

/** Raw keys [B, T, H, d]. */
function project(x: Tensor3D, w: Weights, H: number): Tensor4D {
  const [B, T, D] = x.shape;
  return tf.reshape(linear(x, w.w_k, w.b_k), [B, T, H, D / H]) as Tensor4D;
}

export const layer: Layer<PersistentOptions> = {
  forward: (x, w, { options }) => answer(leakySums(project(x, w, options.heads), w.leak, options), w, options),

  begin: (batch, width, { heads: H }) => ({ leak_sum: tf.zeros([batch, H, width / H]) }),

  step(x, w, state, { options }) {
    const raw = tf.squeeze(project(x, w, options.heads), [1]); // [B, H, d]
    const leak_sum = leakySum(state.leak_sum, raw, w.leak, options);
    return { y: answer(tf.expandDims(leak_sum, 1), w, options), state: { leak_sum } };
  },
};
