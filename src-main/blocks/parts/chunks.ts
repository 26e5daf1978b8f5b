// Sequences cut into chunks, with the heads of a chunk as rows of their own: the layout of chunked recurrences.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { alongAxis } from './tokens';

/** How T tokens lie in n chunks of Q, the last one padded. */
export interface Cut {
  Q: number;
  n: number;
}

/** Chunks of at most `chunk` tokens. */
export function cut(T: number, chunk: number): Cut {
  const Q = Math.min(chunk, T);
  return { Q, n: Math.ceil(T / Q) };
}

/**
 * u [b, T, H, d] as rows [b·n·heads, Q·share, d], share = H / heads neighbouring heads below each other at each token; zeros fill the last chunk.
 */
export function intoChunks(u: Tensor4D, { Q, n }: Cut, heads = u.shape[2]): Tensor3D {
  const [b, T, H, d] = u.shape;
  const missing = n * Q - T;
  const whole = missing ? tf.concat([u, tf.zeros([b, missing, H, d])], 1) : u;
  const share = H / heads;
  const rows = tf.transpose(tf.reshape(whole, [b * n, Q, heads, share, d]), [0, 2, 1, 3, 4]);
  return tf.reshape(rows, [b * n * heads, Q * share, d]) as Tensor3D;
}

/** The way back: rows [b·n·heads, Q·share, d] to [b, T, H, d]. */
export function outOfChunks(rows: Tensor, [b, T, H]: readonly [number, number, number], { Q, n }: Cut): Tensor4D {
  const d = rows.shape[2]!;
  const heads = rows.shape[0] / (b * n);
  const tokens = tf.transpose(tf.reshape(rows, [b * n, heads, Q, H / heads, d]), [0, 2, 1, 3, 4]);
  const whole = tf.reshape(tokens, [b, n * Q, H, d]);
  return (n * Q === T ? whole : tf.slice(whole, [0, 0, 0, 0], [b, T, H, d])) as Tensor4D;
}

/**
 * The states that enter each chunk, S = kept S + added from zero: added [b, n, …], kept [b, n, …] of a shape that broadcasts to it (1 without
 * one) to [b, n, …].
 */
export function carry(added: Tensor, kept?: Tensor): Tensor {
  const news = alongAxis(added, 1);
  const keeps = kept && alongAxis(kept, 1);
  let S: Tensor = tf.zerosLike(news[0]);
  const entering: Tensor[] = [];
  for (const [c, one] of news.entries()) {
    entering.push(S);
    S = tf.add(keeps ? tf.mul(S, keeps[c]) : S, one);
  }
  return tf.stack(entering, 1);
}
