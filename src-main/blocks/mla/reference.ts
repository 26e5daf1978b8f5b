// The equation as written, one head after the other, every key and value rebuilt: what layer and absorbed decoding are tested against.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Weights } from '../define';
import { linear } from '../parts/linear';
import { rotaryTables, rotate } from '../parts/rotary';
import { latentOf, type MlaOptions } from './options';

/** g ⊙ u / sqrt(mean(u²) + ε) over the last axis. */
const rms = (u: Tensor, g: Tensor, epsilon: number) =>
  tf.mul(g, tf.div(u, tf.sqrt(tf.add(tf.mean(tf.square(u), -1, true), epsilon))));

/** x [B, T, D] to [B, T, D]. */
export function mla(x: Tensor3D, w: Weights, options: MlaOptions): Tensor3D {
  const [B, T, D] = x.shape;
  const { H, rq, dN, dR, dV, causal, rotary, epsilon } = latentOf(options, D);
  const tables = rotaryTables(0, T, dR, rotary);
  const turn = (u: Tensor) =>
    tables ? tf.reshape(rotate(tf.reshape(u, [B, T, 1, dR]), tables.cos, tables.sin), [B, T, dR]) : u;
  const part = (u: Tensor, from: number, width: number) => tf.slice(u, [0, 0, from], [B, T, width]) as Tensor3D;
  const seen = Float32Array.from({ length: T * T }, (_, i) => (causal && i % T > Math.floor(i / T) ? -1e30 : 0));
  const mask = tf.tensor2d(seen, [T, T]);

  const c = rms(linear(x, w.w_dkv), w.kv_norm, epsilon); // [B, T, r]
  const kR = turn(linear(x, w.w_kr)) as Tensor3D; // [B, T, dR]
  const queries = rq > 0 ? linear(rms(linear(x, w.w_dq), w.q_norm, epsilon), w.w_uq) : linear(x, w.w_q);
  const keysAndValues = linear(c, w.w_ukv);
  const heads = Array.from({ length: H }, (_, h) => {
    const qN = part(queries, h * (dN + dR), dN);
    const qR = turn(part(queries, h * (dN + dR) + dN, dR)) as Tensor3D;
    const kN = part(keysAndValues, h * (dN + dV), dN);
    const v = part(keysAndValues, h * (dN + dV) + dN, dV);
    const z = tf.add(tf.matMul(qN, kN, false, true), tf.matMul(qR, kR, false, true)); // [B, T, T]
    const a = tf.softmax(tf.add(tf.div(z, Math.sqrt(dN + dR)), mask)) as Tensor3D;
    return tf.matMul(a, v);
  });
  return linear(tf.concat(heads, 2), w.w_o) as Tensor3D;
}
