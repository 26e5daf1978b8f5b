// TF.js is one module graph: ops, gradients and backend share a registry.
import { expect, it } from 'vitest';
import * as tf from './tf';

it('differentiates through one registry', async () => {
  await tf.setBackend('cpu');
  const dx = tf.tidy(() =>
    tf
      .grad((x) => tf.sum(tf.square(x)))(tf.tensor1d([1, 2, 3]))
      .arraySync(),
  );
  expect(dx).toEqual([2, 4, 6]);
});
