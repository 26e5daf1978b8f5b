// Keys from the leaky sum, the stored pairs that they ask, and the projection of the answers; decoding keeps the sum alone.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, StepContext, Weights } from '../define';
import { attendCaches, once } from '../parts/decoding';
import { linear } from '../parts/linear';
import { keysOf, leakyKeys, leakySum, lengthOf, type Made } from '../parts/memory_key';
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

/** As `answer` for the key [B, H, d] of one token: to [B, 1, D]. */
function answerToken(key: Tensor, w: Weights, context: StepContext<PersistentOptions>): Tensor3D {
  const { options } = context;
  const [B, H, d] = key.shape as [number, number, number];
  const [P] = w.mem_k.shape;
  const factor = () => tf.reshape(tf.div(lengthOf(w.out_scale, options), P), [1, H, 1, 1]);
  const memories = { k: { rows: w.mem_k }, v: { rows: once(context, 'values', () => tf.mul(w.mem_v, factor())) } };
  const answers = Array.from({ length: B }, (_, b) => {
    const each = tf.slice(key, [b, 0, 0], [1, H, d]);
    const q = P === 1 ? each : tf.concat(Array<Tensor>(P).fill(each), 0); // every memory hears the same
    const answered = attendCaches({ q, ...memories }, 1); // [P, H, d]
    return P === 1 ? answered : tf.sum(answered, 0, true);
  });
  const all = B === 1 ? answers[0] : tf.concat(answers, 0);
  return linear(tf.reshape(all, [B, 1, H * d]), w.w_o, w.b_o) as Tensor3D;
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

  step(x, w, state, context) {
    const { options } = context;
    const raw = tf.squeeze(project(x, w, options.heads), [1]); // [B, H, d]
    const made: Made = (name, make) => once(context, name, make);
    const leak_sum = leakySum(state.leak_sum, raw, w.leak, options, made);
    const key = keysOf(leak_sum, w.key_scale, 2, options, made);
    return { y: answerToken(key, w, context), state: { leak_sum } };
  },
};
