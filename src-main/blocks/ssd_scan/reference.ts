// The state-space-dual scan in its three equal forms: token by token, as one mixing matrix, and in chunks.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** b sequences, T tokens, H heads of width P, G groups (G divides H, head h reads group floor(h·G/H)), state width N. */
export interface Scan {
  /** Values [b, T, H, P]. */
  x: Tensor4D;
  /** Step sizes [b, T, H], > 0. */
  dt: Tensor;
  /** Decay rates [H], < 0; a token's log decay is a = dt·A. */
  A: Tensor;
  /** Input maps [b, T, G, N]. */
  B: Tensor4D;
  /** Output maps [b, T, G, N]. */
  C: Tensor4D;
  /** Skip [H]. */
  D?: Tensor;
  /** State before the first token [b, H, P, N]; zeros without one. */
  initialState?: Tensor;
}
/** y [b, T, H, P] and the state after the last token [b, H, P, N]. */
export interface Scanned {
  y: Tensor4D;
  finalState: Tensor4D;
}

/** One token of the recurrence S = exp(dt A) S + dt x Bᵀ, y = S C + D x; x [b, H, P], dt [b, H], B and C [b, G, N], S [b, H, P, N]. */
export function step(
  S: Tensor,
  { x, dt, A, B, C, D }: { x: Tensor; dt: Tensor; A: Tensor; B: Tensor; C: Tensor; D?: Tensor },
): { y: Tensor3D; S: Tensor4D } {
  const [b, H, P, N] = S.shape;
  const [, G] = B.shape as [number, number, number];
  const r = H / G;
  const keep = tf.reshape(tf.exp(tf.mul(dt, A)), [b, G, r, 1, 1]);
  const scaled = tf.reshape(tf.mul(x, tf.expandDims(dt, 2)), [b, G, r, P, 1]);
  const map = (u: Tensor) => tf.reshape(u, [b, G, 1, 1, N]);
  const next = tf.add(tf.mul(tf.reshape(S, [b, G, r, P, N]), keep), tf.mul(scaled, map(B)));
  const read = tf.reshape(tf.sum(tf.mul(next, map(C)), -1), [b, H, P]);
  const y = D ? tf.add(read, tf.mul(x, tf.reshape(D, [H, 1]))) : read;
  return { y: y as Tensor3D, S: tf.reshape(next, [b, H, P, N]) as Tensor4D };
}

/** The equation as written, token by token. */
export function recurrent({ x, dt, A, B, C, D, initialState }: Scan): Scanned {
  const [b, T, H, P] = x.shape;
  let S: Tensor = initialState ?? tf.zeros([b, H, P, B.shape[3]]);
  const ys: Tensor[] = [];
  const at = (u: Tensor, t: number) => tf.squeeze(tf.slice(u, [0, t], [u.shape[0], 1]), [1]);
  for (let t = 0; t < T; t++) {
    const now = step(S, { x: at(x, t), dt: at(dt, t), A, B: at(B, t), C: at(C, t), D });
    S = now.S;
    ys.push(now.y);
  }
  return { y: tf.stack(ys, 1) as Tensor4D, finalState: S as Tensor4D };
}

// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

/** [Q, Q] by row s and column l, as a constant. */
const square = (Q: number, value: (s: number, l: number) => number): Tensor =>
  tf.tensor(
    Float32Array.from({ length: Q * Q }, (_, i) => value(Math.floor(i / Q), i % Q)),
    [1, Q, Q],
  );

/**
 * exp(Σ_{s<k<=l} a[k]) at [s, l] for l >= s, else 0, from a [R, Q]. The exponents are sums over the segment, as differences of one running
 * sum lose digits under strong decay; they are masked before exp, as 0·∞ in the gradient is not a number.
 */
function decays(a: Tensor): Tensor3D {
  const [R, Q] = a.shape;
  const later = tf.mul(
    tf.reshape(a, [R, 1, Q]),
    square(Q, (s, k) => Number(k > s)),
  ); // [R, s, k]
  const hidden = square(Q, (s, l) => (l < s ? HIDDEN : 0));
  return tf.exp(tf.add(tf.cumsum(later, 2), hidden)) as Tensor3D;
}

/** x [b, T, …] with zeros to n·Q tokens, as chunks [b·n, Q, …]. Padding has dt = 0: it neither decays nor adds. */
function chunks(u: Tensor, n: number, Q: number): Tensor {
  const [b, T, ...rest] = u.shape;
  const missing = n * Q - T;
  const whole = missing ? tf.concat([u, tf.zeros([b, missing, ...rest])], 1) : u;
  return tf.reshape(whole, [b * n, Q, ...rest]);
}
/** u [b, n, …] as n tensors [b, …]. TF.js can't differentiate an unstack of one. */
const perChunk = (u: Tensor): Tensor[] =>
  u.shape[1] === 1 ? [tf.reshape(u, [u.shape[0], ...u.shape.slice(2)])] : tf.unstack(u, 1);
/** Exchanges axes 1 and 2. */
const swap = (u: Tensor): Tensor => tf.transpose(u, [0, 2, 1, ...u.shape.slice(3).map((_, i) => i + 3)]);

/** Chunks of Q tokens: a quadratic form within each, the recurrence between them. The result does not depend on Q. */
export function chunked({ x, dt, A, B, C, D, initialState }: Scan, { chunk = 64 } = {}): Scanned {
  const [b, T, H, P] = x.shape;
  const [, , G, N] = B.shape;
  const r = H / G;
  const Q = Math.min(chunk, T);
  const n = Math.ceil(T / Q);
  const R = b * n; // chunks in all; rows of what follows
  const a = tf.reshape(swap(chunks(tf.mul(dt, A), n, Q)), [R * H, Q]);
  const scaled = chunks(tf.mul(x, tf.expandDims(dt, 3)), n, Q); // dt·x [R, Q, H, P]
  const maps = (u: Tensor4D) => tf.reshape(swap(chunks(u, n, Q)), [R * G, Q, N]) as Tensor3D;
  const Bc = maps(B);
  const Cc = maps(C);

  // Within a chunk: y[l] = Σ_{s<=l} (C[l]·B[s]) Λ[s,l] dt[s] x[s].
  const scores = tf.reshape(tf.matMul(Bc, Cc, false, true), [R * G, 1, Q * Q]); // [s, l]
  const W = tf.reshape(tf.mul(scores, tf.reshape(decays(a), [R * G, r, Q * Q])), [R * H, Q, Q]) as Tensor3D;
  const values = tf.reshape(swap(scaled), [R * H, Q, P]) as Tensor3D;
  const inside = swap(tf.reshape(tf.matMul(W, values, true), [R, H, Q, P])); // [R, Q, H, P]

  // What a chunk adds to the state: Σ_s tail[s] dt[s] x[s] B[s]ᵀ, tail[s] = exp(Σ_{k>s} a[k]).
  const byToken = (u: Tensor) => tf.reshape(swap(tf.reshape(u, [R, H, Q])), [R, Q, H, 1]);
  const tail = byToken(tf.exp(tf.cumsum(a, 1, true, true)));
  const tailed = tf.reshape(swap(tf.reshape(tf.mul(scaled, tail), [R, Q, G, r * P])), [R * G, Q, r * P]) as Tensor3D;
  const added = perChunk(tf.reshape(tf.matMul(tailed, Bc, true), [b, n, H, P * N]));
  const kept = perChunk(tf.reshape(tf.exp(tf.sum(a, 1)), [b, n, H, 1]));

  // Between chunks: the recurrence on whole states.
  let S: Tensor = initialState ? tf.reshape(initialState, [b, H, P * N]) : tf.zeros([b, H, P * N]);
  const entering: Tensor[] = [];
  for (let c = 0; c < n; c++) {
    entering.push(S);
    S = tf.add(tf.mul(S, kept[c]), added[c]);
  }
  // What the entering state gives: exp(Σ_{k<=l} a[k]) S C[l].
  const states = tf.reshape(tf.stack(entering, 1), [R * G, r * P, N]) as Tensor3D;
  const given = swap(tf.reshape(tf.matMul(Cc, states, false, true), [R, G, Q, r * P])); // [R, Q, G, r·P]
  const carried = tf.mul(tf.reshape(given, [R, Q, H, P]), byToken(tf.exp(tf.cumsum(a, 1))));

  const all = tf.reshape(tf.add(inside, carried), [b, n * Q, H, P]);
  const y = n * Q === T ? all : tf.slice(all, [0, 0, 0, 0], [b, T, H, P]);
  return {
    y: (D ? tf.add(y, tf.mul(x, tf.reshape(D, [H, 1]))) : y) as Tensor4D,
    finalState: tf.reshape(S, [b, H, P, N]) as Tensor4D,
  };
}

/** The token-mixing matrix M [b, H, T, T] without skip and initial state: y[t] = Σ_s M[t,s] x[s]. */
export function mixingMatrix({ x, dt, A, B, C }: Scan): Tensor4D {
  const [b, T, H] = x.shape;
  const [, , G, N] = B.shape;
  const map = (u: Tensor4D) => tf.reshape(swap(u), [b * G, T, N]) as Tensor3D;
  const scores = tf.reshape(tf.matMul(map(B), map(C), false, true), [b, G, 1, T * T]); // [s, l]
  const a = tf.reshape(swap(tf.mul(dt, A)), [b * H, T]);
  const decayed = tf.mul(scores, tf.reshape(decays(a), [b, G, H / G, T * T]));
  const scaled = tf.mul(tf.reshape(decayed, [b, H, T, T]), tf.reshape(swap(dt), [b, H, T, 1]));
  return tf.transpose(scaled, [0, 1, 3, 2]) as Tensor4D;
}
