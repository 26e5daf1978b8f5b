// The generalised delta rule of RWKV-7: each token decays the state, takes something out of it and writes a pair.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { alongAxis } from '../parts/tokens';

/** One token of all inputs [R, N], R sequences times heads. */
interface Token {
  r: Tensor;
  w: Tensor;
  k: Tensor;
  v: Tensor;
  a: Tensor;
  b: Tensor;
}
const NAMES = ['r', 'w', 'k', 'v', 'a', 'b'] as const;

/** B sequences, H heads, T tokens, N channels; all [B, H, T, N]. */
export interface Rule {
  /** Receptance: what is read. */
  r: Tensor4D;
  /** Log decay of each key channel, at most 0. */
  w_log: Tensor4D;
  /** Key and value of the pair that is written. */
  k: Tensor4D;
  v: Tensor4D;
  /** The state read along a is written back along b. */
  a: Tensor4D;
  b: Tensor4D;
}

/** Tokens between states that are kept for the gradient; those inside are computed again. */
export const SEGMENT = 16;

const column = (u: Tensor): Tensor3D => tf.expandDims(u, 2); // [R, N, 1]
const row = (u: Tensor): Tensor3D => tf.expandDims(u, 1); // [R, 1, N]
const columns = (u: Tensor, v: Tensor): Tensor3D => tf.concat([column(u), column(v)], 2) as Tensor3D;

/** S [R, N, N] by value and key channel to S diag(e^w) + (S a) bᵀ + v kᵀ, and what was taken out, S a [R, N]. */
function write(S: Tensor3D, { w, k, v, a, b }: Omit<Token, 'r'>): { S: Tensor3D; out: Tensor } {
  const out = tf.squeeze(tf.matMul(S, column(a)), [2]);
  const written = tf.matMul(columns(out, v), tf.concat([row(b), row(k)], 1) as Tensor3D);
  return { S: tf.add(tf.mul(S, tf.exp(row(w))), written), out };
}
/** S r [R, N]. */
const read = (S: Tensor3D, r: Tensor): Tensor => tf.squeeze(tf.matMul(S, column(r)), [2]);

/** One token: inputs [B, H, N] and S [B, H, N, N] by value and key channel, to y [B, H, N] and the state after it. */
export function step(S: Tensor4D, token: Token): { y: Tensor3D; S: Tensor4D } {
  const [B, H, N] = S.shape;
  const flat = Object.fromEntries(NAMES.map((name) => [name, tf.reshape(token[name], [B * H, N])]));
  const { r, ...rest } = flat as unknown as Token;
  const next = write(tf.reshape(S, [B * H, N, N]), rest).S;
  return { y: tf.reshape(read(next, r), [B, H, N]), S: tf.reshape(next, [B, H, N, N]) };
}

/** The equation as written, token by token. */
export function recurrent({ r, w_log, k, v, a, b }: Rule): { y: Tensor4D; S: Tensor4D } {
  const [B, H, , N] = r.shape;
  const lists = [r, w_log, k, v, a, b].map((u) => alongAxis(u, 2));
  let S = tf.zeros([B, H, N, N]) as Tensor4D;
  const ys = lists[0].map((_, t) => {
    const token = Object.fromEntries(NAMES.map((name, i) => [name, lists[i][t]])) as unknown as Token;
    const done = step(S, token);
    S = done.S;
    return done.y;
  });
  return { y: tf.stack(ys, 2) as Tensor4D, S };
}

/** Inputs [R, T, N] in the order of NAMES as tokens, in segments. */
function segmentsOf(inputs: readonly Tensor[]): Token[][] {
  const lists = inputs.map((u) => tf.unstack(u, 1));
  const tokens = lists[0].map(
    (_, t) => Object.fromEntries(NAMES.map((name, i) => [name, lists[i][t]])) as unknown as Token,
  );
  return Array.from({ length: Math.ceil(tokens.length / SEGMENT) }, (_, s) =>
    tokens.slice(s * SEGMENT, (s + 1) * SEGMENT),
  );
}

const ruled = tf.customGrad((...given) => {
  const save = given.pop() as unknown as (kept: Tensor[]) => void;
  const inputs = given as Tensor[];
  const [R, , N] = inputs[0].shape as [number, number, number];
  let S = tf.zeros([R, N, N]) as Tensor3D;
  const starts: Tensor[] = [];
  const ys: Tensor[] = [];
  for (const tokens of segmentsOf(inputs)) {
    starts.push(S);
    const done: Tensor[] = tf.tidy(() => {
      let state = S;
      const outputs = tokens.map((token) => {
        state = write(state, token).S;
        return read(state, token.r);
      });
      return [state, ...outputs];
    });
    S = done[0] as Tensor3D;
    ys.push(...done.slice(1));
  }
  save([...inputs, ...starts]);
  const gradFunc = (dy: Tensor, kept: Tensor[]) => backward(dy, kept.slice(0, NAMES.length), kept.slice(NAMES.length));
  return { value: tf.stack(ys, 1), gradFunc };
});

/** Gradients of the inputs [R, T, N]: the segments from the last to the first, the states within each computed again from its start. */
function backward(dy: Tensor, inputs: Tensor[], starts: Tensor[]): Tensor[] {
  const cotangents = tf.unstack(dy, 1);
  const segments = segmentsOf(inputs);
  const gradients: Tensor[][] = NAMES.map(() => []); // the last token first
  let dS = tf.zerosLike(starts[0]) as Tensor3D;
  for (let s = segments.length - 1; s >= 0; s--) {
    const tokens = segments[s];
    const done: Tensor[] = tf.tidy(() => {
      const before: { S: Tensor3D; out: Tensor }[] = [];
      let S = starts[s] as Tensor3D;
      for (const token of tokens) {
        const next = write(S, token);
        before.push({ S, out: next.out });
        S = next.S;
      }
      const found: Tensor[] = [];
      let carried = dS;
      for (let t = tokens.length - 1; t >= 0; t--) {
        const one = tokenBackward(tokens[t], { ...before[t], after: S, dy: cotangents[s * SEGMENT + t], dS: carried });
        found.push(...one.gradients);
        carried = one.dS;
        S = before[t].S;
      }
      return [carried, ...found];
    });
    dS = done[0] as Tensor3D;
    for (const [i, gradient] of done.slice(1).entries()) gradients[i % NAMES.length].push(gradient);
  }
  return gradients.map((list) => tf.stack(list.reverse(), 1));
}

/** One token: S before and `after` it, what it took out, and dS [R, N, N] of the state after it; to the gradients [R, N] in the order of NAMES. */
function tokenBackward(
  { r, w, k, v, a, b }: Token,
  { S, after, out, dy, dS }: { S: Tensor3D; after: Tensor3D; out: Tensor; dy: Tensor; dS: Tensor3D },
) {
  const whole = tf.add(dS, tf.matMul(column(dy), row(r))) as Tensor3D;
  const [dv, taken] = tf.split(tf.matMul(whole, columns(k, b)), 2, 2); // [R, N, 1] each
  const [dk, db] = tf.split(tf.matMul(whole, columns(v, out), true), 2, 2);
  const decay = tf.exp(row(w));
  const dr = tf.matMul(after, column(dy), true);
  const da = tf.matMul(S, taken as Tensor3D, true);
  const dw = tf.mul(tf.squeeze(decay, [1]), tf.sum(tf.mul(whole, S), 1));
  const flat = (u: Tensor) => tf.squeeze(u, [2]);
  return {
    gradients: [flat(dr), dw, flat(dk), flat(dv), flat(da), flat(db)],
    dS: tf.add(tf.mul(whole, decay), tf.matMul(taken as Tensor3D, row(a))) as Tensor3D,
  };
}

/** All tokens: y [B, H, T, N]. Kept for the gradient are the inputs and a state every 16 tokens. */
export function wkv({ r, w_log, k, v, a, b }: Rule): Tensor4D {
  const [B, H, T, N] = r.shape;
  const rows = [r, w_log, k, v, a, b].map((u) => tf.reshape(u, [B * H, T, N]));
  return tf.reshape(ruled(...rows), [B, H, T, N]) as Tensor4D;
}
