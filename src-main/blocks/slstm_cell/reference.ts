// The scalar memory with memory mixing, token by token: the last output feeds the next gates, so there is no other form.
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { constant } from '../parts/constant';
import { logSigmoid } from '../parts/log_sigmoid';
import { alongAxis } from '../parts/tokens';

/** B sequences, T tokens, D channels in H heads of d neighbours; gates in the order i, f, z, o. */
export interface Cell {
  /** Preactivations [B, T, D] of input gate, forget gate, cell input and output gate, without bias and recurrent part. */
  i: Tensor3D;
  f: Tensor3D;
  z: Tensor3D;
  o: Tensor3D;
  /** Recurrent weights [4, H, d, d] by gate, head, channel in, channel out. */
  r: Tensor;
  /** Biases [4, D]. */
  b: Tensor;
}
/** What is kept between tokens, [H, B, d] each: output h, and cell c and normaliser n at the scale e^−m. */
export interface Memory {
  h: Tensor3D;
  c: Tensor3D;
  n: Tensor3D;
  m: Tensor3D;
}

/** [B, D] to [H, B, d]. */
const intoHeads = (u: Tensor, H: number): Tensor3D => {
  const [B, D] = u.shape as [number, number];
  return tf.transpose(tf.reshape(u, [B, H, D / H]), [1, 0, 2]) as Tensor3D;
};
/** [H, B, d] to [B, D]. */
const outOfHeads = (u: Tensor3D): Tensor2D => {
  const [H, B, d] = u.shape;
  return tf.reshape(tf.transpose(u, [1, 0, 2]), [B, H * d]);
};
const each = <A, B>({ h, c, n, m }: Record<keyof Memory, A>, turn: (one: A) => B): Record<keyof Memory, B> => ({
  h: turn(h),
  c: turn(c),
  n: turn(n),
  m: turn(m),
});

/** A decode state [B, D] each, as the memory that `run` continues from. */
export const asMemory = (state: Record<keyof Memory, Tensor>, H: number): Memory => each(state, (u) => intoHeads(u, H));
/** The memory as a decode state [B, D] each. */
export const asState = (memory: Memory): Record<keyof Memory, Tensor2D> => each(memory, outOfHeads);

/** One token: gates [H, B, 4d] with bias, r [H, d, 4d]. Without a memory it is the first: there is nothing to keep. */
function step(gates: Tensor, r: Tensor3D, memory?: Memory): Memory {
  const [H, B, D] = gates.shape as [number, number, number];
  const h = memory?.h ?? (tf.zeros([H, B, D / 4]) as Tensor3D);
  const all = tf.add(gates, tf.matMul(h, r));
  const [i, f, z, o] = tf.split(all, 4, 2);
  const kept = memory && tf.add(logSigmoid(f), memory.m);
  const m = constant(kept ? tf.maximum(i, kept) : i); // h does not depend on it
  const write = tf.exp(tf.sub(i, m));
  const input = tf.mul(write, tf.tanh(z));
  const keep = kept && tf.exp(tf.sub(kept, m));
  const c = keep ? tf.add(tf.mul(memory.c, keep), input) : input;
  const n = keep ? tf.add(tf.mul(memory.n, keep), write) : write; // at least 1: one of keep and write is
  return { h: tf.mul(tf.sigmoid(o), tf.div(c, n)) as Tensor3D, c, n, m } as Memory;
}

/** Recurrent weights [4, H, d, d] and biases [4, H·d] head by head: [H, d, 4d] and [H, 4, d]. */
export function byHead({ r, b }: Pick<Cell, 'r' | 'b'>): { recurrent: Tensor; biases: Tensor } {
  const [, H, d] = r.shape as [number, number, number];
  return {
    recurrent: tf.reshape(tf.transpose(r, [1, 2, 0, 3]), [H, d, 4 * d]),
    biases: tf.transpose(tf.reshape(b, [4, H, d]), [1, 0, 2]),
  };
}

/** All tokens, from a memory or from the start, to y [B, T, D] and the memory after the last. Weights by head are made anew where they are not at hand. */
export function run(
  { i, f, z, o, r, b }: Cell,
  before?: Memory,
  { recurrent, biases } = byHead({ r, b }),
): { y: Tensor3D; memory: Memory } {
  const [B, T, D] = i.shape;
  const [, H, d] = r.shape as [number, number, number];
  const perGate = tf.stack(
    [i, f, z, o].map((u) => tf.reshape(u, [B, T, H, d])),
    3,
  ); // [B, T, H, 4, d]
  const gates = tf.reshape(tf.transpose(tf.add(perGate, biases), [1, 2, 0, 3, 4]), [T, H, B, 4 * d]);
  let memory = before;
  const hs = alongAxis(gates, 0).map((token) => {
    memory = step(token, recurrent as Tensor3D, memory);
    return memory.h;
  });
  const y = tf.reshape(tf.transpose(tf.stack(hs), [2, 0, 1, 3]), [B, T, D]) as Tensor3D; // from [T, H, B, d]
  return { y, memory: memory! };
}
