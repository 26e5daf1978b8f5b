// Rotary positions in half-split pairs: channel i turns with channel i + d/2.
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

export interface Rotary {
  /** Base θ of the frequencies ω_i = θ^(−2i/d). */
  theta: number;
  /** Share p of the pairs that turn, the fastest ones: p-RoPE (arXiv 2410.06205). */
  fraction: number;
}

interface Tables {
  cos: Float32Array;
  sin: Float32Array;
}
const kept = new Map<string, Tables>();
const KEEP = 32;
const frequencies = new Map<string, Float64Array>();

/** ω_i of all pairs i < d/2. */
function frequenciesOf(headDim: number, theta: number): Float64Array {
  const key = `${headDim} ${theta}`;
  const known = frequencies.get(key);
  if (known) return known;
  const made = Float64Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  frequencies.set(key, made);
  return made;
}

/** cos and sin of t·ω_i, row-major [tokens, d/2], from position `start`: float64 angles, since float32 products are off by 1e-5 near t = 130. */
export function turnTable(start: number, tokens: number, headDim: number, { theta, fraction }: Rotary): Tables {
  const key = [start, tokens, headDim, theta, fraction].join();
  const known = kept.get(key);
  if (known) return known;
  const half = headDim / 2;
  const turning = Math.floor(fraction * half);
  const cos = new Float32Array(tokens * half).fill(1);
  const sin = new Float32Array(tokens * half);
  const each = frequenciesOf(headDim, theta);
  for (let i = 0; i < turning; i++) {
    const frequency = each[i];
    for (let t = 0; t < tokens; t++) {
      cos[t * half + i] = Math.cos((start + t) * frequency);
      sin[t * half + i] = Math.sin((start + t) * frequency);
    }
  }
  if (kept.size >= KEEP) kept.delete(kept.keys().next().value!);
  kept.set(key, { cos, sin });
  return { cos, sin };
}

/** The tables as tensors [tokens, d/2]; undefined where no pair turns. */
export function rotaryTables(
  start: number,
  tokens: number,
  headDim: number,
  rotary: Rotary,
): { cos: Tensor2D; sin: Tensor2D } | undefined {
  if (Math.floor(rotary.fraction * (headDim / 2)) === 0) return undefined;
  const { cos, sin } = turnTable(start, tokens, headDim, rotary);
  const shape: [number, number] = [tokens, headDim / 2];
  return { cos: tf.tensor2d(cos, shape), sin: tf.tensor2d(sin, shape) };
}

/** u [B, T, H, d] with its pairs turned by cos, sin [T, d/2]: out[i] = u[i] cos − u[i+d/2] sin, out[i+d/2] = u[i+d/2] cos + u[i] sin. */
export function rotate(u: Tensor4D, cos: Tensor, sin: Tensor): Tensor4D {
  const [B, T, H, d] = u.shape;
  const half = d / 2;
  const row = (table: Tensor) => tf.reshape(table, [1, T, 1, 1, half]);
  const signed = tf.concat([tf.neg(row(sin)), row(sin)], 3); // [1, T, 1, 2, d/2]
  const pairs = tf.reshape(u, [B, T, H, 2, half]);
  const turned = tf.add(tf.mul(pairs, row(cos)), tf.mul(tf.reverse(pairs, 3), signed));
  return tf.reshape(turned, [B, T, H, d]) as Tensor4D;
}
