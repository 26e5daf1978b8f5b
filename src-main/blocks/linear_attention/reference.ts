// Causal linear attention, S = S + k vᵀ, o = Sᵀ q: token by token, and in chunks whose result is the same.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { carry, cut, intoChunks, outOfChunks } from '../parts/chunks';
import { alongAxis } from '../parts/tokens';

/** Query head h reads key head floor(h·Hk/H). */
export interface Heads {
  /** Features of the queries [b, T, H, d], scaled. */
  q: Tensor4D;
  /** Features of the keys [b, T, Hk, d]. */
  k: Tensor4D;
  /** [b, T, Hk, e] */
  v: Tensor4D;
}

/** elu(u) + 1: u + 1 above 0, eᵘ below; the argument of exp is capped at 0, since 0·∞ in the gradient is not a number. */
export const elu1 = (u: Tensor): Tensor => tf.add(tf.relu(u), tf.exp(tf.minimum(u, 0)));

/** One token: q [b, H, d], k [b, Hk, d], v [b, Hk, e] and the state S [b, Hk, d, e] to o [b, H, e] and the state after. */
export function step(S: Tensor, { q, k, v }: Record<'q' | 'k' | 'v', Tensor>): { o: Tensor; S: Tensor } {
  const [b, Hk, d, e] = S.shape as [number, number, number, number];
  const H = q.shape[1]!;
  const next = tf.add(S, tf.mul(tf.expandDims(k, 3), tf.expandDims(v, 2)));
  const rows = tf.reshape(q, [b * Hk, H / Hk, d]);
  return { o: tf.reshape(tf.matMul(rows, tf.reshape(next, [b * Hk, d, e])), [b, H, e]), S: next };
}

/** The equation as written, token by token; o [b, T, H, e]. */
export function recurrent({ q, k, v }: Heads): Tensor4D {
  const [b, T] = q.shape;
  const [, , Hk, e] = v.shape;
  let S: Tensor = tf.zeros([b, Hk, q.shape[3], e]);
  const os: Tensor[] = [];
  const [qs, ks, vs] = [q, k, v].map((u) => alongAxis(u, 1));
  for (let t = 0; t < T; t++) {
    const now = step(S, { q: qs[t], k: ks[t], v: vs[t] });
    S = now.S;
    os.push(now.o);
  }
  return tf.stack(os, 1) as Tensor4D;
}

/** 1 where token l, `share` rows each, may see token s of its chunk. */
function triangle(Q: number, share: number): Tensor {
  const value = (i: number) => Number(i % Q <= Math.floor(i / (Q * share)));
  return tf.tensor(
    Float32Array.from({ length: Q * share * Q }, (_, i) => value(i)),
    [1, Q * share, Q],
  );
}

/**
 * o [b, T, H, e]: the weights q kᵀ within a chunk, and the sum of k vᵀ over all chunks before it. The state is summed chunk by chunk, which keeps
 * the digits that a float32 sum over thousands of single tokens loses.
 */
export function chunked({ q, k, v }: Heads, { chunk = 64 } = {}): Tensor4D {
  const [b, T, H, d] = q.shape;
  const [, , Hk, e] = v.shape;
  const chunks = cut(T, chunk);
  const { Q, n } = chunks;
  const keys = intoChunks(k, chunks); // [b·n·Hk, Q, d]
  const values = intoChunks(v, chunks); // [b·n·Hk, Q, e]
  const queries = intoChunks(q, chunks, Hk); // [b·n·Hk, Q·share, d]
  const weights = tf.mul(tf.matMul(queries, keys, false, true), triangle(Q, H / Hk)); // [b·n·Hk, Q·share, Q]
  const added = tf.reshape(tf.matMul(keys, values, true), [b, n, Hk * d * e]);
  const entering = tf.reshape(carry(added), [b * n * Hk, d, e]);
  const rows = tf.add(tf.matMul(weights, values), tf.matMul(queries, entering));
  return outOfChunks(rows, [b, T, H], chunks);
}
