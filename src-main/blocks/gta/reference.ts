// The equation as written: the tied state s is the value, its first channels are the key, and one rotary key completes it for all heads.
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache } from '../define';
import { attendCaches } from '../parts/decoding';
import { attendDecoupled } from '../parts/decoupled';
import type { Attributes, Saw } from '../softmax_attention/reference';

/** Queries q [B, T, H, d], tied states s [B, T, Hk, d] and the rotary key [B, T, 1, dR], all turned that turns, to o [B, T, H, d]. */
export function attendTied(
  { q, s, shared }: { q: Tensor4D; s: Tensor4D; shared: Tensor4D },
  attributes: Attributes,
  saw?: Saw,
): Tensor4D {
  const [B, T, Hk, d] = s.shape;
  const own = tf.slice(s, [0, 0, 0, 0], [B, T, Hk, d - shared.shape[3]]);
  return attendDecoupled({ q, own, shared, v: s }, attributes, saw);
}

/** One query a head [B, H, d] against the caches s [B, Hk, n, d], whose first channels are keys, and shared [B, n, dR], to o [B, H, d]. */
export function attendTiedCached(q: Tensor3D, { s, shared }: { s: Cache; shared: Cache }, scale: number): Tensor3D {
  const [B, H, d] = q.shape;
  const dR = shared.rows.shape[2]!;
  const own = tf.slice(q, [0, 0, 0], [B, H, d - dR]);
  const turned = tf.slice(q, [0, 0, d - dR], [B, H, dR]);
  return attendCaches({ q: own, k: s, v: s, shared: { q: turned, k: shared } }, scale);
}
