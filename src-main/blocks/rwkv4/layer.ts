// RWKV-4's time mixing: each channel blends with the token before, keys weigh values over the past, receptance gates what is read.
import type { Tensor, Tensor1D, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import type { Layer, Weights } from '../define';
import { gatedLinear } from '../parts/activated_linear';
import { linear } from '../parts/linear';
import { tokenMixes } from '../parts/tokens';
import { wkv } from '../wkv4/fused';
import { emptyPast, type Past, step as stepMean } from '../wkv4/reference';
import type { Rwkv4Options } from './options';

/** Keys, values and receptance [B, T, A] of x [B, T, D] and, while decoding, the token before it [B, D]; mu weighs the current token. */
function project(x: Tensor3D, w: Weights, before?: Tensor): Tensor3D[] {
  const [k, v, r] = tokenMixes(x, [w.mu_k, w.mu_v, w.mu_r], 'current', before);
  return [linear(k, w.w_k), linear(v, w.w_v), linear(r, w.w_r)] as Tensor3D[];
}

/** Log decay a token [A], always negative. */
const decay = (w: Weights): Tensor1D => tf.neg(tf.exp(w.time_decay as Tensor1D));

const finish = (mean: Tensor, r: Tensor, w: Weights): Tensor3D => gatedLinear('sigmoid', r, mean, w.w_o) as Tensor3D;

export const layer: Layer<Rwkv4Options> = {
  forward(x, w) {
    const [k, v, r] = project(x, w);
    return finish(wkv({ k, v, w: decay(w), u: w.time_first as Tensor1D }), r, w);
  },

  begin: (batch, width, { inner }) => ({ x_prev: tf.zeros([batch, width]), ...emptyPast(batch, inner || width) }),

  step(x, w, { x_prev, ...past }) {
    const [B, , D] = x.shape;
    const [k, v, r] = project(x, w, x_prev);
    const flat = (u: Tensor) => tf.reshape(u, [B, -1]) as Tensor2D;
    const done = stepMean(past as unknown as Past, flat(k), flat(v), decay(w), w.time_first as Tensor1D);
    const y = finish(tf.expandDims(done.y, 1), r, w);
    return { y, state: { x_prev: tf.reshape(x, [B, D]), ...done.past } };
  },
};
