// The activations that blocks offer, and their product with a second branch.
import type { Tensor } from '@tensorflow/tfjs-core';
import { type Activation, activation, activations, gatedActivation } from '../../../kernels/gated-activation/kernel';
import { bind, tf } from '../../ops';

export { type Activation, activations };

function composed(name: Activation, x: Tensor): Tensor {
  switch (name) {
    case 'identity':
      return x;
    case 'silu':
      return tf.mul(x, tf.sigmoid(x));
    case 'gelu': {
      const cubic = tf.add(x, tf.mul(tf.mul(x, tf.square(x)), 0.044715));
      return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(tf.mul(cubic, Math.sqrt(2 / Math.PI))), 1));
    }
    case 'relu':
      return tf.relu(x);
    case 'relu2':
      return tf.square(tf.relu(x));
    case 'sigmoid':
      return tf.sigmoid(x);
    case 'tanh':
      return tf.tanh(x);
  }
}

const alone = bind(activation, {
  replaces: ({ x }, attrs) => ({ y: composed(attrs.activation as Activation, x!) }),
  // TF.js's own op keeps no more than its result.
  when: (_, attrs) => attrs.activation !== 'sigmoid' && attrs.activation !== 'tanh',
});

/** Applies an activation by its name; `gelu` is the tanh form, `relu2` the squared ReLU. */
export const activate = (name: Activation, x: Tensor): Tensor =>
  name === 'identity' ? x : alone({ x }, { activation: name }).y;

/** Numbers that are kept for the gradient of an activation whose result is kept by what follows it, an element: what it was given, or nothing. */
export const activationKeeps = (name: Activation): number =>
  name === 'identity' || name === 'sigmoid' || name === 'tanh' ? 0 : 1;

const gated = bind(gatedActivation, {
  replaces: ({ gate, up }, { activation }) => ({ y: tf.mul(composed(activation as Activation, gate!), up!) }),
});

/** gate and up [.., F] to act(gate) · up. */
export const gate = (activation: Activation, gate: Tensor, up: Tensor): Tensor => gated({ gate, up }, { activation }).y;
