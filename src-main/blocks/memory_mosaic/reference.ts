// The equation as written: each token asks the pairs before it, y[t] = Σ_{j<t} softmax_j(k[t]·k[j]) v[j], keys being queries too.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache } from '../define';
import { attendCaches } from '../parts/decoding';
import { lengthOf, type Scaled, unit } from '../parts/memory_key';

// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

/** Rows and columns of [N, N]: 0 up to the diagonal, HIDDEN after it. */
function mask(N: number): Tensor {
  const values = new Float32Array(N * N);
  for (let t = 0; t < N; t++) values.fill(HIDDEN, t * N + t + 1, (t + 1) * N);
  return tf.tensor2d(values, [N, N]);
}

/** Takes the weights of the pairs, [B, H, N, N]. */
export type Saw = (weights: Tensor) => void;

/**
 * Query t [B, N, H, d] sees pairs 0..t of keys and values [B, N, H, d]; to [B, N, H, d]. With queries one token later than the keys, that is all
 * tokens before the query's own.
 */
export function smooth(queries: Tensor4D, keys: Tensor4D, values: Tensor4D, saw?: Saw): Tensor4D {
  const [B, N, H, d] = queries.shape;
  const rows = (u: Tensor) => tf.reshape(tf.transpose(u, [0, 2, 1, 3]), [B * H, N, d]) as Tensor3D;
  const scores = tf.add(tf.matMul(rows(queries), rows(keys), false, true), mask(N));
  const weights = tf.softmax(scores) as Tensor3D;
  saw?.(tf.reshape(weights, [B, H, N, N]));
  const y = tf.reshape(tf.matMul(weights, rows(values)), [B, H, N, d]);
  return tf.transpose(y, [0, 2, 1, 3]) as Tensor4D;
}

/** One query a head [B, H, d] against all pairs of keys and values [B, H, n, d]; to [B, H, d]. Keys without a value are not seen. */
export const recall = (query: Tensor, keys: Cache, values: Cache): Tensor3D =>
  attendCaches({ q: query, k: keys, v: values }, 1);

/** Values of tokens whose successor is known: own and next [.., H, d], val_mix and val_scale [H]; mixed, then brought to one length a head. */
export function valuesOf(own: Tensor, next: Tensor, valMix: Tensor, valScale: Tensor, scaled: Scaled): Tensor {
  const mix = tf.expandDims(valMix, 1);
  const mixed = tf.add(tf.mul(next, tf.sub(1, mix)), tf.mul(own, mix));
  return tf.mul(unit(mixed, scaled.normEps), lengthOf(valScale, scaled));
}
