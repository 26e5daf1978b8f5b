// Keys of Memory Mosaics: leaky sums of projected tokens, brought to one length a head.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { leakyKeys as kernel } from '../../../kernels/memory-mosaic/kernel';
import { bind, tf } from '../../ops';
import { ssdScan } from '../ssd_scan/fused';

/** Scalars of a head are stored divided by `rawScaling`, so that one learning rate serves them and the matrices. */
export interface Scaled {
  rawScaling: number;
  /** Added to lengths before they divide. */
  normEps: number;
}

/** Gives what follows from the weights alone, by a name: decoding makes it once a text. */
export type Made = (name: string, make: () => Tensor) => Tensor;
const madeNow: Made = (_, make) => make();

/** Keeps the root's slope finite at zero; far below what `normEps` leaves of a sum of squares. */
const TINY = 1e-30;

/** u [.., d] divided by its length plus epsilon: zeros stay zeros. */
export function unit(u: Tensor, epsilon: number): Tensor {
  const length = tf.sqrt(tf.add(tf.sum(tf.square(u), -1, true), TINY));
  return tf.div(u, tf.add(length, epsilon));
}

/** Rate β [H] at which a head forgets; a token of age n keeps e^(−βn). The leak counts by its absolute value. */
const leakRate = (leak: Tensor, { rawScaling }: Scaled): Tensor => tf.mul(tf.abs(leak), rawScaling);

/** a[t] = e^(−β) a[t−1] + u[t] from nothing; u [B, T, H, d], leak [H] to [B, T, H, d]: a state-space scan of state width one. */
function leakySums(u: Tensor4D, leak: Tensor, scaled: Scaled): Tensor4D {
  const [B, T, H] = u.shape;
  const one = tf.ones([B, T, 1, 1]) as Tensor4D;
  return ssdScan({ x: u, dt: tf.ones([B, T, H]), A: tf.neg(leakRate(leak, scaled)), B: one, C: one }).y;
}

/** One token of the same: a [B, H, d] before it, u [B, H, d], leak [H]. */
export function leakySum(a: Tensor, u: Tensor, leak: Tensor, scaled: Scaled, made = madeNow): Tensor {
  const kept = made('kept', () => tf.expandDims(tf.exp(tf.neg(leakRate(leak, scaled))), 1));
  return tf.add(tf.mul(a, kept), u);
}

/** e to a scaled scalar a head: raw [H] to [H, 1]. */
export const lengthOf = (raw: Tensor, { rawScaling }: Scaled): Tensor =>
  tf.expandDims(tf.exp(tf.mul(raw, rawScaling)), 1);

/** Greatest length of a key, as in the published code. */
const LONGEST = 65_535;

/** Sums a [.., H, d] as keys of length e^(power · key_scale), at most LONGEST. */
export function keysOf(a: Tensor, keyScale: Tensor, power: 1 | 2, scaled: Scaled, made = madeNow): Tensor {
  const length = made('length', () => {
    const exponent = tf.minimum(tf.mul(keyScale, power * scaled.rawScaling), Math.log(LONGEST));
    return tf.expandDims(tf.exp(exponent), 1);
  });
  return tf.mul(unit(a, scaled.normEps), length);
}

const bound = bind(kernel, {
  replaces({ u, leak, scale }, { power, rawScaling, epsilon }) {
    const scaled = { rawScaling: Number(rawScaling), normEps: Number(epsilon) };
    return { k: keysOf(leakySums(u as Tensor4D, leak!, scaled), scale!, power as 1 | 2, scaled) };
  },
});

/** Raw keys [B, T, H, d] of a whole sequence, leak and key_scale [H], to keys [B, T, H, d]: `leakySums`, then `keysOf`. */
export const leakyKeys = (raw: Tensor4D, leak: Tensor, keyScale: Tensor, power: 1 | 2, scaled: Scaled): Tensor4D =>
  bound({ u: raw, leak, scale: keyScale }, { power, rawScaling: scaled.rawScaling, epsilon: scaled.normEps })
    .k as Tensor4D;

/** Starting leak of head h of H: rates from 0.5 to 5, evenly spaced. */
export const startingLeak = (h: number, H: number, rawScaling: number): number =>
  (H > 1 ? 0.5 + (4.5 * h) / (H - 1) : 0.5) / rawScaling;
