// A tensor with one axis read backwards.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** x backwards along `axis`: a gather by index, which every device has as a kernel of its own, as is the gradient. */
export function reversed<T extends Tensor>(x: T, axis: number): T {
  const backwards = (u: Tensor) => tf.gather(u, tf.range(u.shape[axis]! - 1, -1, -1, 'int32'), axis);
  const turn = tf.customGrad((u) => ({ value: backwards(u as Tensor), gradFunc: (dy: Tensor) => backwards(dy) }));
  return turn(x) as T;
}
