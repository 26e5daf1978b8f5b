// A value that the gradient takes as given.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

const stopped = tf.customGrad((x) => {
  const value = tf.clone(x as Tensor);
  return { value, gradFunc: (dy: Tensor) => tf.zerosLike(dy) };
});

/** x, with no gradient through it: for the maxima that keep exponents small, on which the result does not depend. */
export const constant = <T extends Tensor>(x: T): T => stopped(x) as T;
