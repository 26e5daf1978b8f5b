// The memory as written: read a token, take the gradient of what the last tokens should have recalled, step, and answer the query.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { alongAxis } from '../parts/tokens';
import { newtonSchulz } from './newton_schulz';
import type { MemoryOptions } from './options';

/** What the inner loss is made of, for n tokens: features p [R, n, F], keys k and values v [R, n, d], weights gamma [R, n]. R: sequences times heads. */
export interface Rows {
  p: Tensor;
  k: Tensor;
  v: Tensor;
  gamma: Tensor;
}
/** The tokens to read: their rows, queries q [R, n, d] with features pq [R, n, F], and per token retention, step size and momentum [R, n]. */
export interface Tokens extends Rows {
  q: Tensor;
  pq: Tensor;
  alpha: Tensor;
  eta: Tensor;
  theta: Tensor;
}
/** The memory's matrices w and their momenta s, [R, F, h] and [R, h, d] of an MLP, [R, F, d] of a linear memory. */
export interface Memory {
  w: Tensor[];
  s: Tensor[];
}

/** b after a, along the tokens. */
export const joinRows = (a: Rows, b: Rows): Rows => ({
  p: tf.concat([a.p, b.p], 1),
  k: tf.concat([a.k, b.k], 1),
  v: tf.concat([a.v, b.v], 1),
  gamma: tf.concat([a.gamma, b.gamma], 1),
});

const newest = (u: Tensor, count: number): Tensor => {
  const [R, n, ...rest] = u.shape;
  return tf.slice(u, [0, n - count, ...rest.map(() => 0)], [R, count, ...rest]);
};
/** The last rows. */
export const lastRows = ({ p, k, v, gamma }: Rows, count: number): Rows => ({
  p: newest(p, count),
  k: newest(k, count),
  v: newest(v, count),
  gamma: newest(gamma, count),
});

const product = (a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor3D =>
  tf.matMul(a as Tensor3D, b as Tensor3D, transposeA, transposeB);

/** The rows but for the last. */
export const firstRows = ({ p, k, v, gamma }: Rows, count: number): Rows => {
  const oldest = (u: Tensor) => tf.slice(u, u.shape.map(() => 0), [u.shape[0], count, ...u.shape.slice(2)]); // biome-ignore format: short
  return { p: oldest(p), k: oldest(k), v: oldest(v), gamma: oldest(gamma) };
};

/** For each matrix of the memory the two factors [R, n, ·] whose outer products are a token's gradient of ½‖M(k) − v‖², weighted by gamma. */
function gradientFactors(anchor: Tensor[], { p, k, v, gamma }: Rows): [Tensor, Tensor][] {
  const weight = tf.expandDims(gamma, 2);
  const [w1, w2] = anchor;
  const before = product(p, w1);
  if (!w2) return [[p, tf.mul(weight, tf.sub(before, v))]];
  const open = tf.sigmoid(before);
  const hidden = tf.mul(before, open); // silu
  const error = tf.mul(weight, tf.sub(tf.add(k, product(hidden, w2)), v));
  const slope = tf.mul(open, tf.add(tf.mul(before, tf.sub(1, open)), 1)); // of silu
  return [
    [p, tf.mul(product(error, w2, false, true), slope)],
    [hidden, error],
  ];
}

/** u [R, n, m] as its `count` last windows of n − count + 1 neighbouring rows, [R·count, n − count + 1, m]. */
function windows(u: Tensor, count: number): Tensor {
  const [R, n, m] = u.shape as [number, number, number];
  const width = n - count + 1;
  if (count === 1) return u;
  if (width === 1) return tf.reshape(u, [R * n, 1, m]);
  const shifted = Array.from({ length: width }, (_, i) => tf.slice(u, [0, i, 0], [R, count, m]));
  return tf.reshape(tf.stack(shifted, 2), [R * count, width, m]);
}

/** x[n] = keep[n] x[n−1] + added[n] from x [R, r, s]; keep [R, n], added [R, n, r, s]. All of them as [R·n, r, s], and the last. */
function decaying(x: Tensor, keep: Tensor, added: Tensor): { all: Tensor3D; last: Tensor } {
  const [R, n, r, s] = added.shape as [number, number, number, number];
  const keeps = alongAxis(keep, 1);
  let last = x;
  const each = alongAxis(added, 1).map((one, i) => {
    last = tf.add(tf.mul(last, tf.reshape(keeps[i], [R, 1, 1])), one);
    return last;
  });
  return { all: tf.reshape(n === 1 ? last : tf.stack(each, 1), [R * n, r, s]) as Tensor3D, last };
}

/** M(q) for queries [R, n, d] with features [R, n, F], each by its own matrices [R·n, ·, ·]. */
function read(w: Tensor[], q: Tensor, pq: Tensor): Tensor {
  const [R, n, d] = q.shape as [number, number, number];
  const each = (u: Tensor) => tf.reshape(u, [R * n, 1, u.shape[2]!]);
  const [w1, w2] = w;
  const before = product(each(pq), w1);
  if (!w2) return tf.reshape(before, [R, n, d]);
  const recalled = product(tf.mul(before, tf.sigmoid(before)), w2);
  return tf.add(q, tf.reshape(recalled, [R, n, d]));
}

/**
 * Reads tokens of one chunk whose inner gradients are all taken at `anchor`. `window` holds the tokens before them that are still learned from.
 * To y [R, n, d] and the memory after the last of them.
 */
export function readTokens(
  { w, s }: Memory,
  anchor: Tensor[],
  window: Rows | undefined,
  tokens: Tokens,
  { nsSteps }: Pick<MemoryOptions, 'nsSteps'>,
): { y: Tensor; memory: Memory } {
  const [R, n] = tokens.gamma.shape as [number, number];
  const factors = gradientFactors(anchor, window ? joinRows(window, tokens) : tokens);
  const step = tf.reshape(tf.neg(tokens.eta), [R, n, 1, 1]);
  const moved = factors.map(([left, right], m) => {
    const [, rows, columns] = w[m].shape as [number, number, number];
    const shape = [R, n, rows, columns];
    const gradient = tf.reshape(product(windows(left, n), windows(right, n), true), shape);
    const momentum = decaying(s[m], tokens.theta, gradient);
    const direction = tf.reshape(newtonSchulz(momentum.all, nsSteps), shape);
    return { momentum, weight: decaying(w[m], tokens.alpha, tf.mul(direction, step)) };
  });
  return {
    y: read(
      moved.map(({ weight }) => weight.all),
      tokens.q,
      tokens.pq,
    ),
    memory: { w: moved.map(({ weight }) => weight.last), s: moved.map(({ momentum }) => momentum.last) },
  };
}
