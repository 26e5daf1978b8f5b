// The equation as written: each token asks the pairs before it, y[t] = Σ_{j<t} softmax_j(k[t]·k[j]) v[j], keys being queries too.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache } from '../define';
import { attendCaches } from '../parts/decoding';
import { lengthOf, type Made, type Scaled, unit } from '../parts/memory_key';

// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

/** Rows and columns of [N, N]: 0 up to the diagonal, HIDDEN after it. */
function mask(N: number): Tensor {
  const values = new Float32Array(N * N);
  for (let t = 0; t < N; t++) values.fill(HIDDEN, t * N + t + 1, (t + 1) * N);
  return tf.tensor2d(values, [N, N]);
}

/** Takes the weights of all tokens, [B, H, T, T]; the first row and the last column are zero. */
export type Saw = (weights: Tensor) => void;

const firstOf = (u: Tensor4D): Tensor4D => {
  const [B, T, H, d] = u.shape;
  return tf.slice(u, [0, 0, 0, 0], [B, T - 1, H, d]);
};
const restOf = (u: Tensor4D): Tensor4D => {
  const [B, T, H, d] = u.shape;
  return tf.slice(u, [0, 1, 0, 0], [B, T - 1, H, d]);
};

/** Keys and values [B, T, H, d] to y [B, T, H, d], whose first token is zero: there is nothing to recall. */
export function smooth(keys: Tensor4D, values: Tensor4D, saw?: Saw): Tensor4D {
  const [B, T, H, d] = keys.shape;
  const N = T - 1; // pairs: the queries of tokens 1 to N ask pairs 0 to N - 1
  if (N === 0) {
    saw?.(tf.zeros([B, H, 1, 1]));
    return tf.mul(tf.add(keys, values), 0) as Tensor4D; // stays on the tape: gradients are zero, not missing
  }
  const rows = (u: Tensor) => tf.reshape(tf.transpose(u, [0, 2, 1, 3]), [B * H, N, d]) as Tensor3D;
  const scores = tf.add(tf.matMul(rows(restOf(keys)), rows(firstOf(keys)), false, true), mask(N));
  const weights = tf.softmax(scores) as Tensor3D;
  saw?.(
    tf.pad(tf.reshape(weights, [B, H, N, N]), [
      [0, 0],
      [0, 0],
      [1, 0],
      [0, 1],
    ]),
  );
  const recalled = tf.transpose(tf.reshape(tf.matMul(weights, rows(firstOf(values))), [B, H, N, d]), [0, 2, 1, 3]);
  return tf.concat([tf.zeros([B, 1, H, d]), recalled], 1) as Tensor4D;
}

/** One query a head [B, H, d] against all pairs of keys and values [B, H, n, d]; to [B, H, d]. Keys without a value are not seen. */
export const recall = (query: Tensor, keys: Cache, values: Cache): Tensor3D =>
  attendCaches({ q: query, k: keys, v: values }, 1);

/** Values of tokens whose successor is known: own and next [.., H, d], val_mix and val_scale [H]; mixed, then brought to one length a head. */
export function valuesOf(
  own: Tensor,
  next: Tensor,
  valMix: Tensor,
  valScale: Tensor,
  scaled: Scaled,
  made: Made = (_, make) => make(),
): Tensor {
  const mix = tf.expandDims(valMix, 1);
  const rest = made('rest', () => tf.sub(1, mix));
  const mixed = tf.add(tf.mul(next, rest), tf.mul(own, mix));
  return tf.mul(
    unit(mixed, scaled.normEps),
    made('value length', () => lengthOf(valScale, scaled)),
  );
}

/** The same for a whole sequence of raw values [B, T, H, d]; the last token has no successor, and its value is zero. */
export function valuesOfAll(raw: Tensor4D, valMix: Tensor, valScale: Tensor, scaled: Scaled): Tensor4D {
  const [B, T, H, d] = raw.shape;
  // A value that nobody reads, which stays on the tape: gradients are zero, not missing.
  const alone = tf.mul(
    valuesOf(tf.slice(raw, [0, T - 1, 0, 0], [B, 1, H, d]), tf.zeros([1]), valMix, valScale, scaled),
    0,
  );
  if (T === 1) return alone as Tensor4D;
  const known = valuesOf(firstOf(raw), restOf(raw), valMix, valScale, scaled);
  return tf.concat([known, alone], 1) as Tensor4D;
}
