// Attention whose keys have a part of their own, which never turns, and a rotary part that all heads share (MLA, GLA, GTA).
import type { Tensor, Tensor2D, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { latentAttention } from '../../../kernels/attention/kernel';
import { bind, type Inputs, tf } from '../../ops';
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

/** A whole sequence as the projections leave it; nothing has turned. */
export interface Decoupled {
  /** Queries [B, T, H, a + r]: the part that meets the own keys, then the part that meets `shared`. */
  q: Tensor4D;
  /** [B, T, Hk, n]: the own key in the first a channels, the value from channel `valueAt` on. */
  kv: Tensor4D;
  /** [B, T, r] */
  shared: Tensor3D;
  /** [T, r/2], together with sin; neither: nothing turns. */
  cos?: Tensor;
  sin?: Tensor;
}
export interface DecoupledAttributes extends Attributes {
  /** Channel of kv at which the value starts: a, or 0 where it is tied to the key. */
  valueAt: number;
}

/** Queries, keys with the shared part in every head, and values, all turned that turns. */
function laidOut({ q, kv, shared, cos, sin }: Decoupled, valueAt: number) {
  const [B, T, Hk, n] = kv.shape;
  const [, , r] = shared.shape;
  const tables = cos && sin ? { cos: cos as Tensor2D, sin: sin as Tensor2D } : undefined;
  const own = tf.slice(kv, [0, 0, 0, 0], [B, T, Hk, q.shape[3] - r]);
  const turned = turnTail(tf.reshape(shared, [B, T, 1, r]) as Tensor4D, r, tables);
  // A sum with zeros copies the shared part to each head; its gradient is one sum, where that of a tile is many slices.
  const k = tf.concat([own, tf.add(turned, tf.zeros([1, 1, Hk, 1]))], 3) as Tensor4D;
  const v = valueAt > 0 ? (tf.slice(kv, [0, 0, 0, valueAt], [B, T, Hk, n - valueAt]) as Tensor4D) : kv;
  return { q: turnTail(q, r, tables), k, v };
}

const bound = bind(latentAttention, {
  replaces(inputs: Inputs, { valueAt, causal, scale }) {
    const heads = laidOut(inputs as unknown as Decoupled, Number(valueAt));
    return { o: attend(heads, { causal: causal === true, scale: Number(scale) }) };
  },
});

/**
 * o [B, T, H, e]: softmax over s of (q_a[h,t]·own[g,s] + q_r[h,t]·shared[s]) · scale, times v[g,s], g = floor(h·Hk/H).
 * `saw` takes the map [B, H, T, T] as `attn`.
 */
export function attendDecoupled(heads: Decoupled, attributes: DecoupledAttributes, saw?: Saw): Tensor4D {
  const { causal, scale, valueAt } = attributes;
  if (saw) attendAndSee(laidOut(heads, valueAt), attributes, saw); // the kernel keeps no map
  const own = heads.q.shape[3] - heads.shared.shape[2];
  return bound({ ...heads }, { causal, scale, own, valueAt }).o as Tensor4D;
}
