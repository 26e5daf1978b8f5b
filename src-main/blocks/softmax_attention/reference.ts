// The equation as written: a = softmax(q kᵀ · scale), o = a v, with grouped heads, rotary positions and, if asked, an adaptive temperature.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { rotate } from '../parts/rotary';

// Finite, since an infinite exponent is undefined in WGSL; e^(−1e30) is exactly 0 all the same.
const HIDDEN = -1e30;

/** [T, S]: 0 where query t may see key s, HIDDEN where not; the last query sees all keys. */
function causalMask(T: number, S: number): Tensor {
  const mask = new Float32Array(T * S);
  for (let t = 0; t < T; t++) mask.fill(HIDDEN, t * S + t + S - T + 1, (t + 1) * S);
  return tf.tensor2d(mask, [T, S]);
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
}
export interface Attributes {
  causal: boolean;
  scale: number;
}

/** Turns scores [B·H, T, S], which come unmasked, into shares; `hide` masks a row. */
type Normalise = (scores: Tensor3D, hide: (scores: Tensor) => Tensor) => Tensor;
const plain: Normalise = (scores, hide) => tf.softmax(hide(scores));

/** Takes the attention map [B, H, T, S], and of an adaptive temperature each row's entropy and inverse temperature [B, H, T]. */
export type Saw = (name: 'attn' | 'entropy' | 'beta', value: Tensor) => void;
const sharpened =
  ([B, H, T]: readonly number[], saw?: Saw): Normalise =>
  (scores, hide) => {
    const p = tf.softmax(hide(scores));
    const entropy = tf.neg(tf.sum(tf.mul(p, tf.log(tf.add(p, 1e-9))), -1, true)); // [B·H, T, 1]
    const beta = inverseTemperature(entropy);
    saw?.('entropy', tf.reshape(entropy, [B, H, T]));
    saw?.('beta', tf.reshape(beta, [B, H, T]));
    // Scaled before it is masked: a masked score times β would have a gradient for β.
    return tf.softmax(hide(tf.mul(scores, beta)));
  };

function attendBy(
  normalise: Normalise,
  { q, k, v, cos, sin }: Heads,
  { causal, scale }: Attributes,
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
  const scores = tf.reshape(tf.mul(tf.matMul(rows, keys, false, true), scale), [B * H, T, S]) as Tensor3D;
  const mask = causal ? causalMask(T, S) : undefined;
  const a = normalise(scores, (z) => (mask ? tf.add(z, mask) : z)); // [B·H, T, S]
  saw?.('attn', tf.reshape(a, [B, H, T, S]));
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

/** One query a head, q [B, H, d] already turned, against caches k and v [B, Hk, n, d] to o [B, H, d]. */
export function attendCached(q: Tensor3D, k: Tensor4D, v: Tensor4D, scale: number, temperature: 'plain' | 'adaptive') {
  const [B, H, d] = q.shape;
  const [, Hk, n] = k.shape;
  const flat = (u: Tensor) => tf.reshape(u, [B * Hk, -1, d]) as Tensor3D;
  const scores = tf.reshape(tf.mul(tf.matMul(flat(q), flat(k), false, true), scale), [B * H, 1, n]) as Tensor3D;
  const normalise = temperature === 'plain' ? plain : sharpened([B, H, 1]);
  const a = normalise(scores, (z) => z);
  const o = tf.matMul(tf.reshape(a, [B * Hk, H / Hk, n]) as Tensor3D, flat(v)); // [B·Hk, H/Hk, d]
  return tf.reshape(o, [B, H, d]) as Tensor3D;
}
