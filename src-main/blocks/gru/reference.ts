// The equation as written, one token: n = tanh(x_n + σ(r) h_n), h = (1 − σ(z)) n + σ(z) h, gates in PyTorch's order r, z, n.
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { walk } from '../parts/recurrent';

/** State h [B, h], gates [B, 3h] from the input, w_h [h, 3h], b_h [3h]; to the state after the token. */
export function step(h: Tensor, gates: Tensor, w_h: Tensor, b_h?: Tensor): Tensor {
  const product = tf.matMul(h as Tensor2D, w_h as Tensor2D);
  // The bias of the state stands inside the reset gate's product, so the two biases do not add up to one.
  const [stateR, stateZ, stateN] = tf.split(b_h ? tf.add(product, b_h) : product, 3, 1);
  const [inputR, inputZ, inputN] = tf.split(gates, 3, 1);
  const reset = tf.sigmoid(tf.add(inputR, stateR));
  const keep = tf.sigmoid(tf.add(inputZ, stateZ));
  const candidate = tf.tanh(tf.add(inputN, tf.mul(reset, stateN)));
  return tf.add(candidate, tf.mul(keep, tf.sub(h, candidate)));
}

/** All tokens from zeros: gates [B, T, 3h] to states [B, T, h]. */
export function run(gates: Tensor3D, w_h: Tensor, b_h?: Tensor): Tensor3D {
  let h: Tensor = tf.zeros([gates.shape[0], w_h.shape[0]]);
  return walk(gates, (token) => {
    h = step(h, token, w_h, b_h);
    return h;
  });
}
