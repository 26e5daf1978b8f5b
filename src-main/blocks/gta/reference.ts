// One token of the equation: the tied state s is the value, its first channels are the key, and one rotary key completes it for all heads.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Cache } from '../define';
import { attendCaches, widthOf } from '../parts/decoding';

/** One query a head [B, H, d] against the caches s [B, Hk, n, d], whose first channels are keys, and shared [B, n, dR], to o [B, H, d]. */
export function attendTiedCached(q: Tensor3D, { s, shared }: { s: Cache; shared: Cache }, scale: number): Tensor3D {
  const [B, H, d] = q.shape;
  const dR = widthOf(shared);
  const own = tf.slice(q, [0, 0, 0], [B, H, d - dR]);
  const turned = tf.slice(q, [0, 0, d - dR], [B, H, dR]);
  return attendCaches({ q: own, k: s, v: s, shared: { q: turned, k: shared } }, scale);
}
