// The equation as written: a = softmax(q kᵀ · scale), o = a v, with grouped heads and what the options ask for: positions, window, sinks, soft-cap,
// adaptive temperature.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { rotate } from '../parts/rotary';

// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

/** [T, S]: 0 where query t may see key s, HIDDEN where not; the last query stands at the last key. */
function maskOf(T: number, S: number, { causal, window = 0 }: Attributes): Tensor | undefined {
  if (!causal && !window) return undefined;
  const hidden = Float32Array.from({ length: T * S }, (_, i) => {
    const ahead = (i % S) - (Math.floor(i / S) + S - T);
    return (causal && ahead > 0) || (window > 0 && Math.abs(ahead) >= window) ? HIDDEN : 0;
  });
  return tf.tensor2d(hidden, [T, S]);
}

/** ALiBi's slope of each of H heads (arXiv 2108.12409): 2^(−8(h+1)/H); where H is no power of two, every other one of twice as many fills up. */
export function alibiSlopes(H: number): number[] {
  const n = 2 ** Math.floor(Math.log2(H));
  return Array.from({ length: H }, (_, h) => (h < n ? 2 ** ((-8 * (h + 1)) / n) : 2 ** ((-4 * (2 * (h - n) + 1)) / n)));
}
/** What ALiBi takes from scores, [H, T, S]. */
function falls(H: number, T: number, S: number): Tensor {
  const values = alibiSlopes(H).flatMap((slope) =>
    Array.from({ length: T * S }, (_, i) => slope * Math.abs((i % S) - (Math.floor(i / S) + S - T))),
  );
  return tf.tensor3d(values, [H, T, S]);
}

/** Dot products [B, H, T, S] to scores: scaled, capped, and falling with distance. */
function scoresOf(products: Tensor, { scale, softCap = 0, alibi = false }: Attributes): Tensor {
  const scaled = tf.mul(products, scale);
  const capped = softCap > 0 ? tf.mul(tf.tanh(tf.div(scaled, softCap)), softCap) : scaled;
  const [, H, T, S] = products.shape as number[];
  return alibi ? tf.sub(capped, falls(H, T, S)) : capped;
}

// −0.037 E⁴ + 0.481 E³ − 2.3 E² + 4.917 E − 1.791 written in powers of E − 3: in powers of E its terms reach 80 and cancel in float32.
const CENTRE = 3;
const POLYNOMIAL = [-0.037, 0.037, 0.031, 0.108, 2.25];

/** Inverse temperature of a row from its entropy in nats: max(poly(E), 1); the listing's gate E > 0.5 never decides, as poly < 1 below 0.849. */
export function inverseTemperature(entropy: Tensor): Tensor {
  const e = tf.sub(entropy, CENTRE);
  const poly = POLYNOMIAL.reduce<Tensor>((sum, c) => tf.add(tf.mul(sum, e), c), tf.scalar(0));
  return tf.maximum(poly, 1);
}

// From which share on the entropy counts what is missing to 1; no share that equal scores would give, as its slope would count twice there.
const LARGE = 0.6;

/** −Σ p ln(p + 1e-9) in nats of shares p [.., S], to [.., 1]. Added to a share near 1, 1e-9 is lost, so that goes by what it lacks. */
export function entropyOf(p: Tensor): Tensor {
  const small = tf.log(tf.div(tf.add(tf.minimum(p, LARGE), 1e-9), LARGE)); // ln(p / LARGE), 0 for large shares
  const large = tf.log1p(tf.add(tf.sub(tf.maximum(p, LARGE), 1), 1e-9)); // ln p, ln LARGE for small shares
  return tf.neg(tf.sum(tf.mul(p, tf.add(small, large)), -1, true));
}

export interface Heads {
  /** [B, T, H, d] */
  q: Tensor4D;
  /** [B, S, Hk, d] */
  k: Tensor4D;
  /** [B, S, Hk, d] */
  v: Tensor4D;
  /** [S, d/2], together with sin; neither: nothing turns. */
  cos?: Tensor;
  sin?: Tensor;
  /** [H]: a score without a value. */
  sinks?: Tensor;
}
export interface Attributes {
  causal: boolean;
  scale: number;
  /** Tokens that are seen, the query's own included; 0 or absent: all. */
  window?: number;
  /** Scores stay below it; 0 or absent: as they are. */
  softCap?: number;
  /** Scores fall with distance. */
  alibi?: boolean;
}

/** Turns scores [B, H, T, S], which come unmasked, into shares; `hide` masks them. */
type Normalise = (scores: Tensor4D, hide: (scores: Tensor) => Tensor) => Tensor;
/** The same with a sink [H] in every row, whose share falls away. */
const withSinks =
  (normalise: Normalise, sinks?: Tensor): Normalise =>
  (scores, hide) => {
    if (!sinks) return normalise(scores, hide);
    const [B, H, T, S] = scores.shape;
    const sink = tf.add(tf.reshape(sinks, [1, H, 1, 1]), tf.zeros([B, H, T, 1]));
    const open = tf.zeros([B, H, T, 1]);
    const hideKeys = (z: Tensor) => tf.add(z, tf.concat([hide(tf.zeros([B, H, T, S])), open], 3));
    return tf.slice(normalise(tf.concat([scores, sink], 3) as Tensor4D, hideKeys), [0, 0, 0, 0], [B, H, T, S]);
  };
const plain: Normalise = (scores, hide) => tf.softmax(hide(scores));

/** Takes the attention map [B, H, T, S], and of an adaptive temperature each row's entropy and inverse temperature [B, H, T]. */
export type Saw = (name: 'attn' | 'entropy' | 'beta', value: Tensor) => void;
const sharpened =
  ([B, H, T]: readonly number[], saw?: Saw): Normalise =>
  (scores, hide) => {
    const p = tf.softmax(hide(scores));
    const entropy = entropyOf(p); // [B, H, T, 1]
    const beta = inverseTemperature(entropy);
    saw?.('entropy', tf.reshape(entropy, [B, H, T]));
    saw?.('beta', tf.reshape(beta, [B, H, T]));
    // Scaled before it is masked: a masked score times β would have a gradient for β.
    return tf.softmax(hide(tf.mul(scores, beta)));
  };

function attendBy(
  normalise: Normalise,
  { q, k, v, cos, sin, sinks }: Heads,
  attributes: Attributes,
  saw?: Saw,
): Tensor4D {
  const [B, T, H, d] = q.shape;
  const [, S, Hk, e] = v.shape;
  const share = H / Hk; // query heads that read one key head: neighbours
  const last = (table: Tensor) => tf.slice(table, [S - T, 0], [T, d / 2]);
  const turnedQ = cos && sin ? rotate(q, last(cos), last(sin)) : q;
  const turnedK = cos && sin ? rotate(k, cos, sin) : k;
  // Queries of one key head stand below each other, so that one product serves them all.
  const rows = tf.reshape(tf.transpose(tf.reshape(turnedQ, [B, T, Hk, share, d]), [0, 2, 3, 1, 4]), [
    B * Hk,
    share * T,
    d,
  ]) as Tensor3D;
  const keys = tf.reshape(tf.transpose(turnedK, [0, 2, 1, 3]), [B * Hk, S, d]) as Tensor3D;
  const values = tf.reshape(tf.transpose(v, [0, 2, 1, 3]), [B * Hk, S, e]) as Tensor3D;
  const products = tf.reshape(tf.matMul(rows, keys, false, true), [B, H, T, S]);
  const scores = scoresOf(products, attributes) as Tensor4D;
  const mask = maskOf(T, S, attributes);
  const a = withSinks(normalise, sinks)(scores, (z) => (mask ? tf.add(z, mask) : z)); // [B, H, T, S]
  saw?.('attn', a);
  const o = tf.matMul(tf.reshape(a, [B * Hk, share * T, S]) as Tensor3D, values); // [B·Hk, share·T, e]
  const heads = tf.transpose(tf.reshape(o, [B, Hk, share, T, e]), [0, 3, 1, 2, 4]);
  return tf.reshape(heads, [B, T, H, e]) as Tensor4D;
}

/** o [B, T, H, d] with the plain softmax. Query head h reads key head floor(h·Hk/H); query t stands at position t + S − T. */
export const attend = (heads: Heads, attributes: Attributes, saw?: Saw): Tensor4D =>
  attendBy(plain, heads, attributes, saw);

/** The same with rows sharpened from their own entropy (arXiv 2410.01104). */
export function attendSharpened(heads: Heads, attributes: Attributes, saw?: Saw): Tensor4D {
  const [B, T, H] = heads.q.shape;
  return attendBy(sharpened([B, H, T], saw), heads, attributes, saw);
}

/** What a decoding step needs besides queries and caches. */
export interface CachedAttributes extends Attributes {
  sinks?: Tensor;
}

/** One query a head, q [B, H, d] already turned, against caches k and v [B, Hk, n, d], which hold what it sees, to o [B, H, d], sharpened likewise. */
export function attendCached(q: Tensor3D, k: Tensor4D, v: Tensor4D, attributes: CachedAttributes): Tensor3D {
  const [B, H, d] = q.shape;
  const [, Hk, n] = k.shape;
  const flat = (u: Tensor) => tf.reshape(u, [B * Hk, -1, d]) as Tensor3D;
  const products = tf.reshape(tf.matMul(flat(q), flat(k), false, true), [B, H, 1, n]);
  const a = withSinks(sharpened([B, H, 1]), attributes.sinks)(scoresOf(products, attributes) as Tensor4D, (z) => z);
  const o = tf.matMul(tf.reshape(a, [B * Hk, H / Hk, n]) as Tensor3D, flat(v)); // [B·Hk, H/Hk, d]
  return tf.reshape(o, [B, H, d]) as Tensor3D;
}
