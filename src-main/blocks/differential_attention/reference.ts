// The equation as written: two maps of a head, the second subtracted λ times from the first before the values are read.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache, Weights } from '../define';
import { attendCaches, widthOf } from '../parts/decoding';
import { rotate } from '../parts/rotary';
import type { Attributes } from '../softmax_attention/reference';

// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

/** λ of a layer and what it leaves of 1, both scalars; λ may be negative or exceed 1. */
export interface Lambda {
  lambda: Tensor;
  /** 1 − λ, from its own sum: the difference of two rounded numbers would be all rounding where λ is near 1. */
  rest: Tensor;
}

/** λ = exp(λ_q1·λ_k1) − exp(λ_q2·λ_k2) + λ_init, with λ_init as `start`; e^u − 1 keeps the digits that e^u near 1 drops. */
export function lambdaOf(w: Weights, start: number): Lambda {
  const part = (n: 1 | 2) => tf.expm1(tf.sum(tf.mul(w[`lambda_q${n}`], w[`lambda_k${n}`])));
  const learned = tf.sub(part(1), part(2));
  return { lambda: tf.add(learned, start), rest: tf.sub(1 - start, learned) };
}

/**
 * first − λ·second, as (first − second) + (1 − λ)·second: at the first token both are the same and only 1 − λ is left, which the norm of a head
 * blows up to size 1, rounding errors with it.
 */
export const differ = (first: Tensor, second: Tensor, { rest }: Pick<Lambda, 'rest'>): Tensor =>
  tf.add(tf.sub(first, second), tf.mul(second, rest));

/** Both components of queries and keys, and the values that they share, as the projections leave them; nothing has turned yet. */
export interface Heads {
  /** [B, T, 2H, d]: row 2h + c is component c of head h */
  q: Tensor4D;
  /** [B, T, 2·Hk, d] */
  k: Tensor4D;
  /** [B, T, Hk, 2d] */
  v: Tensor4D;
  /** [T, d/2], together with sin; neither: nothing turns. */
  cos?: Tensor;
  sin?: Tensor;
}

/** Component c of u [B, T, 2·heads, d]: [B, T, heads, d]. */
export function component(u: Tensor4D, c: 0 | 1): Tensor4D {
  const [B, T, both, d] = u.shape;
  const pairs = tf.reshape(u, [B, T, both / 2, 2 * d]);
  return tf.slice(pairs, [0, 0, 0, c * d], [B, T, both / 2, d]) as Tensor4D;
}

/** o [B, T, H, 2d] = (A_0 − λ A_1) v; query head h reads key head floor(h·Hk/H). `saw` takes A_0 − λ A_1 [B, H, T, T]. */
export function attend(
  { q, k, v, cos, sin }: Heads,
  lambda: Lambda,
  { causal, scale }: Attributes,
  saw?: (name: 'attn_diff', value: Tensor) => void,
): Tensor4D {
  const [B, T, both, d] = q.shape;
  const H = both / 2;
  const [, , Hk, e] = v.shape;
  const share = H / Hk; // query heads that read one key head: neighbours
  const hidden = Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? HIDDEN : 0));
  const mask = causal ? tf.tensor2d(hidden, [T, T]) : undefined;
  const turn = (u: Tensor4D) => (cos && sin ? rotate(u, cos, sin) : u);
  const map = (c: 0 | 1) => {
    // Queries of one key head stand below each other, so that one product serves them all.
    const rows = tf.transpose(tf.reshape(turn(component(q, c)), [B, T, Hk, share, d]), [0, 2, 3, 1, 4]);
    const keys = tf.transpose(turn(component(k, c)), [0, 2, 1, 3]);
    const flat = (u: Tensor, n: number) => tf.reshape(u, [B * Hk, n, d]) as Tensor3D;
    const products = tf.matMul(flat(rows, share * T), flat(keys, T), false, true);
    const scores = tf.reshape(tf.mul(products, scale), [B * H, T, T]);
    return tf.softmax(mask ? tf.add(scores, mask) : scores);
  };
  const a = differ(map(0), map(1), lambda); // [B·H, T, T]
  saw?.('attn_diff', tf.reshape(a, [B, H, T, T]));
  const values = tf.reshape(tf.transpose(v, [0, 2, 1, 3]), [B * Hk, T, e]) as Tensor3D;
  const o = tf.matMul(tf.reshape(a, [B * Hk, share * T, T]) as Tensor3D, values);
  const heads = tf.transpose(tf.reshape(o, [B, Hk, share, T, e]), [0, 3, 1, 2, 4]);
  return tf.reshape(heads, [B, T, H, e]) as Tensor4D;
}

/**
 * The newest token, which sees all n: q [B, H, 2, d] already turned against k [B, 2·Hk, n, d] (row 2g + c is component c of head g) and
 * v [B, Hk, n, 2d], to o [B, H, 2d]: the difference of what the two maps read.
 */
export function attendCached(q: Tensor4D, k: Cache, v: Cache, lambda: Pick<Lambda, 'rest'>, scale: number): Tensor3D {
  const [B, H, , d] = q.shape;
  const Hk = v.rows.shape[1]!;
  const e = widthOf(v);
  const share = H / Hk;
  const byKey = tf.transpose(tf.reshape(q, [B, Hk, share, 2, d]), [0, 1, 3, 2, 4]);
  const both = attendCaches({ q: tf.reshape(byKey, [B, 2 * H, d]), k, v }, scale);
  const parts = tf.reshape(both, [B, Hk, 2, share * e]);
  const part = (c: 0 | 1) => tf.reshape(tf.slice(parts, [0, 0, c, 0], [B, Hk, 1, share * e]), [B, H, e]);
  return differ(part(0), part(1), lambda) as Tensor3D;
}
