// A tensor with one axis read backwards.
import type { Tensor } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';

/** x backwards along `axis`: a gather by index, which every device has as a kernel of its own, as is the gradient. */
export function reversed<T extends Tensor>(x: T, axis: number): T {
  const length = x.shape[axis]!;
  // A constant: a range is made in JavaScript, which a captured step can't play.
  const indices = () => tf.tensor1d(Int32Array.from({ length }, (_, i) => length - 1 - i), 'int32'); // biome-ignore format: one line
  const backwards = (u: Tensor) => tf.gather(u, indices(), axis);
  const turn = tf.customGrad((u) => ({ value: backwards(u as Tensor), gradFunc: (dy: Tensor) => backwards(dy) }));
  return turn(x) as T;
}
