// Gated linear attention, S = diag(a) S + k vᵀ, o = Sᵀ q with a decay for each key channel: token by token, and in chunks.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { carry, cut, intoChunks, outOfChunks } from '../parts/chunks';
import { alongAxis } from '../parts/tokens';

/** Query head h reads key head floor(h·Hk/H). */
export interface Heads {
  /** [b, T, H, d], scaled */
  q: Tensor4D;
  /** [b, T, Hk, d] */
  k: Tensor4D;
  /** [b, T, Hk, e] */
  v: Tensor4D;
  /** Log decays [b, T, Hk, d], at most 0. */
  g: Tensor4D;
}

/** One token: q [b, H, d], k and g [b, Hk, d], v [b, Hk, e] and the state S [b, Hk, d, e] to o [b, H, e] and the state after. */
export function step(S: Tensor, { q, k, v, g }: Record<'q' | 'k' | 'v' | 'g', Tensor>): { o: Tensor; S: Tensor } {
  const [b, Hk, d, e] = S.shape as [number, number, number, number];
  const H = q.shape[1]!;
  const kept = tf.mul(S, tf.expandDims(tf.exp(g), 3));
  const next = tf.add(kept, tf.mul(tf.expandDims(k, 3), tf.expandDims(v, 2)));
  const rows = tf.reshape(q, [b * Hk, H / Hk, d]);
  return { o: tf.reshape(tf.matMul(rows, tf.reshape(next, [b * Hk, d, e])), [b, H, e]), S: next };
}

/** The equation as written, token by token; o [b, T, H, e]. */
export function recurrent({ q, k, v, g }: Heads): Tensor4D {
  const [b, T] = q.shape;
  const [, , Hk, e] = v.shape;
  let S: Tensor = tf.zeros([b, Hk, q.shape[3], e]);
  const os: Tensor[] = [];
  const [qs, ks, vs, gs] = [q, k, v, g].map((u) => alongAxis(u, 1));
  for (let t = 0; t < T; t++) {
    const now = step(S, { q: qs[t], k: ks[t], v: vs[t], g: gs[t] });
    S = now.S;
    os.push(now.o);
  }
  return tf.stack(os, 1) as Tensor4D;
}

/** Tokens a chunk: the decays between all pairs inside it are held, [Q, Q, d] a chunk. */
export const CHUNK = 16;

/**
 * The keys of each chunk as each of its tokens l still sees them: [rows, l, s, d] = k[s] · Π_{s<i<=l} a[i], 0 for s > l; k and a [rows, Q, d].
 * The products are built token by token and so never leave [0, 1]; splitting them as Π_{i<=l} / Π_{i<=s} divides by zero under strong decay.
 */
function decayedKeys(k: Tensor, a: Tensor): Tensor {
  const [, Q] = k.shape as [number, number, number];
  let kept: Tensor | undefined;
  const seen = alongAxis(a, 1).map((now, l) => {
    const only = tf.tensor(
      Float32Array.from({ length: Q }, (_, s) => Number(s === l)),
      [1, Q, 1],
    );
    const added = tf.mul(k, only);
    kept = kept ? tf.add(tf.mul(kept, tf.expandDims(now, 1)), added) : added;
    return kept;
  });
  return tf.stack(seen, 1);
}

/** o [b, T, H, e]: all pairs of tokens within a chunk, and the recurrence on whole states between chunks. */
export function chunked({ q, k, v, g }: Heads, { chunk = CHUNK } = {}): Tensor4D {
  const [b, T, H, d] = q.shape;
  const [, , Hk, e] = v.shape;
  const share = H / Hk;
  const chunks = cut(T, chunk);
  const { Q, n } = chunks;
  const R = b * n * Hk; // rows: chunks of a head
  const decay = intoChunks(g, chunks); // [R, Q, d]; padding neither decays nor adds
  const values = intoChunks(v, chunks); // [R, Q, e]
  const queries = intoChunks(q, chunks, Hk); // [R, Q·share, d]

  const keys = decayedKeys(intoChunks(k, chunks), tf.exp(decay)); // [R, l, s, d]
  const scores = tf.matMul(tf.reshape(queries, [R * Q, share, d]), tf.reshape(keys, [R * Q, Q, d]), false, true);
  const inside = tf.matMul(tf.reshape(scores, [R, Q * share, Q]), values); // [R, Q·share, e]

  // What the last token of a chunk still sees of its keys is what the chunk leaves in the state.
  const left = tf.reshape(tf.slice(keys, [0, Q - 1, 0, 0], [R, 1, Q, d]), [R, Q, d]);
  const added = tf.reshape(tf.matMul(left, values, true), [b, n, Hk * d, e]);
  const kept = tf.reshape(tf.exp(tf.sum(decay, 1)), [b, n, Hk * d, 1]);
  const entering = tf.reshape(carry(added, kept), [R, d, e]);
  // Summed along the last axis: the gradient of TF.js's cumsum is wrong along any other.
  const sinceStart = tf.transpose(tf.cumsum(tf.transpose(decay, [0, 2, 1]), 2), [0, 2, 1]);
  const faded = tf.exp(tf.reshape(sinceStart, [R, Q, 1, d]));
  const readers = tf.reshape(tf.mul(tf.reshape(queries, [R, Q, share, d]), faded), [R, Q * share, d]);
  return outOfChunks(tf.add(inside, tf.matMul(readers, entering)), [b, T, H], chunks);
}
