// The mixing matrices M[i, j], i the token that reads and j the one that is read, as [b or 1, H or 1, T, T]; and their product with values.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { reversed } from '../parts/reversed';
import { dips, reciprocals } from './waves';

/** Row maps q and column maps k [b or 1, T, H, d]; one for all sequences where the data do not make them. */
export interface Maps {
  q: Tensor4D;
  k: Tensor4D;
}

/** u [b, T, H, d] as [b·H, T, d]. */
function perHead(u: Tensor4D): Tensor3D {
  const [b, T, H, d] = u.shape;
  return tf.reshape(tf.transpose(u, [0, 2, 1, 3]), [b * H, T, d]) as Tensor3D;
}
/** [b·H, T, T] as [b, H, T, T], b and H those of u. */
const asMatrix = (M: Tensor, { shape: [b, T, H] }: Tensor4D): Tensor4D => tf.reshape(M, [b, H, T, T]);

/** v [B, T, H, P] in the layout that one product with a matrix [b, H or 1, T, T] needs, and the way back. */
function layout(v: Tensor4D, [b, h]: readonly number[]) {
  const [B, T, H, P] = v.shape;
  const own = b > 1 || (B === 1 && h > 1); // every sequence and head with a matrix of its own
  // Sequences, or sequences and heads, that share one lie side by side. Each of these orders is its own inverse.
  const order = own ? [0, 2, 1, 3] : h > 1 ? [2, 1, 0, 3] : [1, 0, 2, 3];
  const rows: [number, number, number] = own ? [B * H, T, P] : h > 1 ? [H, T, B * P] : [1, T, B * H * P];
  const moved = order.map((axis) => v.shape[axis]) as [number, number, number, number];
  return {
    rows: tf.reshape(tf.transpose(v, order), rows) as Tensor3D,
    restore: (product: Tensor) => tf.transpose(tf.reshape(product, moved), order) as Tensor4D,
  };
}

/** y[i] = Σ_j M[i, j] v[j], v and y [B, T, H, P], M [B or 1, H or 1, T, T]. */
export function apply(M: Tensor4D, v: Tensor4D): Tensor4D {
  const [b, h, T] = M.shape;
  const { rows, restore } = layout(v, [b, h]);
  return restore(tf.matMul(tf.reshape(M, [b * h, T, T]) as Tensor3D, rows));
}

/** weights [H, L, L], the first T of them scaled. */
export const dense = (weights: Tensor3D, T: number, scale: number): Tensor4D =>
  tf.expandDims(tf.mul(tf.slice(weights, [0, 0, 0], [weights.shape[0], T, T]), scale), 0);

/** taps [b, H, 2T−1] to taps[i − j + T − 1] · scale. */
export function toeplitz(taps: Tensor3D, scale: number): Tensor4D {
  const [b, H, count] = taps.shape;
  const T = (count + 1) / 2;
  // Rows of 2T numbers, all alike, read as rows of 2T − 1: each begins one place earlier than the one above it.
  const row = tf.concat([tf.mul(reversed(taps, 2), scale), tf.zeros([b, H, 1])], 2);
  const alike = tf.mul(tf.reshape(row, [b * H, 1, 2 * T]), tf.ones([T, 1]));
  const flat = tf.slice(tf.reshape(alike, [b * H, 2 * T * T]), [0, 0], [b * H, T * count]);
  return tf.reshape(tf.slice(tf.reshape(flat, [b * H, T, count]), [0, 0, T - 1], [b * H, T, T]), [b, H, T, T]);
}

/** Taps at distances −(T−1)..T−1 [b, H, 2T−1] from what each token says of its distance to the start, fwd and rev [b, T, H]. */
export function tapsOf(fwd: Tensor3D, rev: Tensor3D): Tensor3D {
  const [ahead, back] = [fwd, rev].map((u) => tf.transpose(u, [0, 2, 1]));
  const [b, H, T] = ahead.shape;
  return T === 1 ? (ahead as Tensor3D) : tf.concat([reversed(tf.slice(back, [0, 0, 1], [b, H, T - 1]), 2), ahead], 2);
}

/** The released code's taps: each a place early, the first one last. */
export function onePlaceOff(taps: Tensor3D): Tensor3D {
  const [b, H, count] = taps.shape;
  if (count === 1) return taps;
  const [first, others] = tf.split(taps, [1, count - 1], 2);
  return tf.reshape(tf.concat([others, first], 2), [b, H, count]);
}

/** The middle taps [b, H, 2T−1] of [b, H, 2L−1]. */
export const middleTaps = (taps: Tensor3D, T: number): Tensor3D => {
  const [b, H, count] = taps.shape;
  return tf.slice(taps, [0, 0, (count + 1) / 2 - T], [b, H, 2 * T - 1]);
};

/** cos(2π i j / L) / √L [1, 1, T, T], a constant. */
export function cosineTransform(T: number, L: number): Tensor4D {
  const wave = Array.from({ length: L }, (_, m) => Math.cos((2 * Math.PI * m) / L) / Math.sqrt(L));
  const values = new Float32Array(T * T);
  for (let i = 0; i < T; i++) for (let j = 0; j < T; j++) values[i * T + j] = wave[(i * j) % L];
  return tf.tensor4d(values, [1, 1, T, T]);
}

const transposed = (M: Tensor3D): Tensor3D => tf.transpose(M, [0, 2, 1]);

/** Σ_c cos(2π q[i,c] j) + cos(2π k[j,c] i), scaled; by way of cos a = 1 − 2 sin²(a/2). */
export function learnedWaves({ q, k }: Maps, scale: number): Tensor4D {
  const both = tf.add(dips(perHead(q)), transposed(dips(perHead(k))));
  return asMatrix(tf.mul(tf.sub(q.shape[3], both), 2 * scale), q);
}

/** Turns a step for a map of 1. */
const SLOW = 1e-3;
/** Σ_c cos(2π e q[i,c] j) − cos(2π e k[j,c] i), e = 1e-3, scaled; likewise, as near 0 the cosines differ in their last digits. */
export function slowWaves({ q, k }: Maps, scale: number): Tensor4D {
  const slow = (u: Tensor4D) => dips(tf.mul(perHead(u), SLOW));
  return asMatrix(tf.mul(tf.sub(transposed(slow(k)), slow(q)), 2 * scale), q);
}

/** Maps above this are cut before exp: e³⁰ squared still is a float32, and so far out nothing is left of the reciprocal. */
const CAP = 30;
const LEAST = 1e-8;
/** Σ_c 1 / (e^q[i,c] + e^k[j,c] + 2 bias + 1e-8), scaled. */
export function cauchy({ q, k }: Maps, scale: number, bias?: Tensor): Tensor4D {
  const positive = (u: Tensor4D) => tf.exp(tf.minimum(perHead(u), CAP)) as Tensor3D;
  const offset = bias ? tf.add(tf.mul(keepPositive(bias), 2), LEAST) : tf.scalar(LEAST);
  return asMatrix(tf.mul(reciprocals(positive(q), tf.add(positive(k), offset)), scale), q);
}

/** At least 0.001, since no denominator may reach 0; the gradient passes as if free, so that the weight can come back. */
const keepPositive = (bias: Tensor): Tensor =>
  tf.customGrad((x) => ({ value: tf.maximum(x as Tensor, 1e-3), gradFunc: (dy: Tensor) => dy }))(bias);

/** Σ_c q[i,c] k[j,c], scaled. */
export const lowRank = ({ q, k }: Maps, scale: number): Tensor4D =>
  asMatrix(tf.mul(tf.matMul(perHead(q), perHead(k), false, true), scale), q);

/** The product of `lowRank` with v [B, T, H, P], keys with values first: linear in T. */
export function applyLowRank({ q, k }: Maps, scale: number, v: Tensor4D): Tensor4D {
  const { rows, restore } = layout(v, [q.shape[0], q.shape[2]]);
  const sums = tf.mul(tf.matMul(perHead(k), rows, true), scale); // [b·H, d, …]
  return restore(tf.matMul(perHead(q), sums as Tensor3D));
}

/** softmax_j(q[i]·k[j] · scale). */
export const softmax = (maps: Maps, scale: number): Tensor4D => tf.softmax(lowRank(maps, scale)) as Tensor4D;
