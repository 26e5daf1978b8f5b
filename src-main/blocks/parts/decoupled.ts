// Attention whose keys have a part of their own, which never turns, and a rotary part that all heads share (MLA, GLA, GTA).
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { attend } from '../softmax_attention/fused';
import { type Attributes, attend as attendAndSee, type Saw } from '../softmax_attention/reference';
import { type rotaryTables, rotate } from './rotary';

export type Tables = ReturnType<typeof rotaryTables>;

/** u [B, T, H, d] with its last r channels turned; without tables nothing turns. */
export function turnTail(u: Tensor4D, r: number, tables: Tables): Tensor4D {
  if (!tables) return u;
  const [B, T, H, d] = u.shape;
  if (r === d) return rotate(u, tables.cos, tables.sin);
  const still = tf.slice(u, [0, 0, 0, 0], [B, T, H, d - r]);
  const tail = tf.slice(u, [0, 0, 0, d - r], [B, T, H, r]);
  return tf.concat([still, rotate(tail, tables.cos, tables.sin)], 3) as Tensor4D;
}

/** A whole sequence; everything that turns has been turned. */
export interface Decoupled {
  /** Queries [B, T, H, a + r]: the part that meets `own`, then the part that meets `shared`. */
  q: Tensor4D;
  /** [B, T, Hk, a] */
  own: Tensor4D;
  /** [B, T, 1, r] */
  shared: Tensor4D;
  /** [B, T, Hk, e] */
  v: Tensor4D;
}

/**
 * o [B, T, H, e]: softmax over s of (q_a[h,t]·own[g,s] + q_r[h,t]·shared[s]) · scale, times v[g,s], g = floor(h·Hk/H).
 * `saw` takes the map [B, H, T, T] as `attn`.
 */
export function attendDecoupled({ q, own, shared, v }: Decoupled, attributes: Attributes, saw?: Saw): Tensor4D {
  const Hk = own.shape[2];
  // A sum with zeros copies the shared part to each head; its gradient is one sum, where that of a tile is many slices.
  const k = tf.concat([own, tf.add(shared, tf.zeros([1, 1, Hk, 1]))], 3) as Tensor4D;
  if (saw) attendAndSee({ q, k, v }, attributes, saw); // the kernel keeps no map
  return attend({ q, k, v }, attributes);
}
