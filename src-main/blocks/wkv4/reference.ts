// The weighted mean of RWKV-4 in two equal forms: token by token, and as a scan over all tokens with its gradient.
import type { Tensor, Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { plus } from '../parts/exponent';
import { alongAxis } from '../parts/tokens';

/** B sequences, T tokens, C channels, each by itself. */
export interface Mean {
  /** Keys and values [B, T, C]. */
  k: Tensor3D;
  v: Tensor3D;
  /** Log decay a token [C], < 0. */
  w: Tensor1D;
  /** Added to the key of the current token [C]. */
  u: Tensor1D;
}
/** Sums over the past at the scale e^−o: numerator p = Σ e^{…} v and denominator q = Σ e^{…}. */
interface Sums<T extends Tensor> {
  p: T;
  q: T;
  o: T;
}
/** The decode state [B, C] under its published names: numerator, denominator and their exponent. */
export interface Past {
  aa: Tensor2D;
  bb: Tensor2D;
  pp: Tensor2D;
}

// The exponent of an empty sum. Finite, as −∞ − (−∞) is not a number; twice it is still a float32.
const NOTHING = -1e38;

export const emptyPast = (B: number, C: number): Past => ({
  aa: tf.zeros([B, C]),
  bb: tf.zeros([B, C]),
  pp: tf.fill([B, C], NOTHING),
});

/** Two sums brought to their larger exponent and added. */
function join<T extends Tensor>(a: Sums<T>, b: Sums<T>): Sums<T> {
  const o = tf.maximum(a.o, b.o) as T;
  const [A, E] = [tf.exp(tf.sub(a.o, o)), tf.exp(tf.sub(b.o, o))];
  const both = (x: T, y: T) => tf.add(tf.mul(A, x), tf.mul(E, y)) as T;
  return { p: both(a.p, b.p), q: both(a.q, b.q), o };
}

/** Sums at the exponent a + b instead of their own, with what rounding takes from it in the sums. */
function raised<T extends Tensor>({ p, q }: Sums<T>, a: Tensor, b: Tensor): Sums<T> {
  const { sum, rest } = plus(a, b);
  return { p: tf.mul(p, rest) as T, q: tf.mul(q, rest) as T, o: sum as T };
}

/**
 * One token: k and v [B, C]; to y [B, C] and the sums after it. What rounding takes from the exponent of the past stays in the exponent alone: given
 * to the sums it would add up there, up to 1e-3 of them in 250 tokens with keys of ±100.
 */
export function step({ aa, bb, pp }: Past, k: Tensor2D, v: Tensor2D, w: Tensor1D, u: Tensor1D) {
  const past = { p: aa, q: bb, o: pp };
  const one = { p: v, q: tf.onesLike(v), o: k };
  const seen = join(past, raised(one, k, u));
  const next = join({ ...past, o: tf.add(pp, w) as Tensor2D }, one);
  return { y: tf.div(seen.p, seen.q) as Tensor2D, past: { aa: next.p, bb: next.q, pp: next.o } };
}

/** The equation as written, token by token. */
export function recurrent({ k, v, w, u }: Mean): { y: Tensor3D; past: Past } {
  const [B, , C] = k.shape;
  let past = emptyPast(B, C);
  const values = alongAxis(v, 1) as Tensor2D[];
  const ys = (alongAxis(k, 1) as Tensor2D[]).map((key, t) => {
    const done = step(past, key, values[t], w, u);
    past = done.past;
    return done.y;
  });
  return { y: tf.stack(ys, 1) as Tensor3D, past };
}

/** u [B, T, C] some tokens later (by > 0) or earlier (by < 0), filled up with a number. */
function moved(u: Tensor3D, by: number, fill: number): Tensor3D {
  const [B, T, C] = u.shape;
  const n = Math.min(T, Math.abs(by));
  const gap = tf.fill([B, n, C], fill) as Tensor3D;
  if (n === T) return gap;
  const rest = tf.slice(u, [0, by > 0 ? 0 : n, 0], [B, T - n, C]);
  return tf.concat(by > 0 ? [gap, rest] : [rest, gap], 1) as Tensor3D;
}
const movedSums = ({ p, q, o }: Sums<Tensor3D>, by: number): Sums<Tensor3D> => ({
  p: moved(p, by, 0),
  q: moved(q, by, 0),
  o: moved(o, by, NOTHING),
});

/**
 * Sums [B, T, C] of single tokens to the sums over all tokens before each, the nearest undecayed, a further one by e^w a token. With direction
 * −1 over all tokens after each. Sums over 1, 2, 4, … tokens are joined (Hillis and Steele): log₂ T passes over the whole sequence.
 */
function sumsBefore(tokens: Sums<Tensor3D>, w: Tensor1D, direction: 1 | -1): Sums<Tensor3D> {
  const T = tokens.p.shape[1];
  let sums = tokens;
  for (let reach = 1; reach < T; reach *= 2)
    sums = tf.tidy(() => {
      const further = movedSums(sums, direction * reach);
      const aged = { ...further, o: tf.add(further.o, tf.mul(w, reach)) as Tensor3D };
      return join(aged, sums) as unknown as { [name: string]: Tensor };
    }) as unknown as Sums<Tensor3D>;
  return movedSums(sums, direction);
}

/** The past of each token, its weighted mean y, and what it is made of: y = (past + own) · share at the scale e^−s. */
function means(k: Tensor3D, v: Tensor3D, w: Tensor1D, u: Tensor1D) {
  const past = sumsBefore({ p: v, q: tf.onesLike(v), o: k }, w, 1);
  const own = tf.add(k, u);
  const s = tf.maximum(past.o, own) as Tensor3D;
  const [A, E] = [tf.exp(tf.sub(past.o, s)), tf.exp(tf.sub(own, s))];
  const share = tf.div(1, tf.add(tf.mul(A, past.q), E));
  const y = tf.mul(tf.add(tf.mul(A, past.p), tf.mul(E, v)), share) as Tensor3D;
  return { past, s, E, share, y };
}

const scanned = tf.customGrad((...given) => {
  const save = given.pop() as unknown as (kept: Tensor[]) => void;
  const [k, v, w, u] = given as [Tensor3D, Tensor3D, Tensor1D, Tensor1D];
  save([k, v, w, u]);
  const gradFunc = (dy: Tensor, kept: Tensor[]) =>
    backward(dy as Tensor3D, ...(kept as [Tensor3D, Tensor3D, Tensor1D, Tensor1D]));
  return { value: means(k, v, w, u).y, gradFunc };
});

/** Gradients of k, v, w, u. The sums over what comes after a token are those of the forward pass, run backwards; no exponent is above 0. */
function backward(dy: Tensor3D, k: Tensor3D, v: Tensor3D, w: Tensor1D, u: Tensor1D): Tensor[] {
  const { past, s, E, share, y } = means(k, v, w, u);
  const c = tf.mul(dy, share) as Tensor3D;
  const after = sumsBefore({ p: c, q: tf.neg(tf.mul(c, y)) as Tensor3D, o: tf.neg(s) as Tensor3D }, w, -1);
  const own = tf.mul(c, E);
  const later = tf.exp(tf.add(k, after.o));
  const ownKey = tf.mul(own, tf.sub(v, y));
  const dv = tf.add(own, tf.mul(later, after.p));
  const dk = tf.add(ownKey, tf.mul(later, tf.add(tf.mul(after.p, v), after.q)));
  const through = tf.exp(tf.add(tf.add(after.o, past.o), w));
  const crossing = tf.add(tf.mul(after.p, past.p), tf.mul(after.q, past.q));
  return [dk, dv, tf.sum(tf.mul(through, crossing), [0, 1]), tf.sum(ownKey, [0, 1])];
}

/** All tokens at once: y [B, T, C]. Kept for the gradient are the inputs alone. */
export const wkv = ({ k, v, w, u }: Mean): Tensor3D => scanned(k, v, w, u) as Tensor3D;
