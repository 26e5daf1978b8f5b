// Root mean square normalisation in groups of neighbouring channels, each with weights of its own.
import type { Tensor } from '@tensorflow/tfjs-core';
import { rmsNorm as kernel } from '../../../kernels/rms-norm/kernel';
import { bind, tf } from '../../ops';

const norm = bind(kernel, {
  replaces: ({ x, weight }, { epsilon, groups }) => {
    const G = Number(groups);
    const parts = tf.reshape(x!, [-1, G, x!.shape[x!.rank - 1] / G]); // [rows, G, D/G]
    const meanSquare = tf.mean(tf.square(parts), 2, true); // [rows, G, 1]
    const even = tf.mul(parts, tf.rsqrt(tf.add(meanSquare, Number(epsilon))));
    return { y: tf.reshape(tf.mul(even, tf.reshape(weight!, [1, G, -1])), x!.shape) };
  },
});

/** x [.., G·c], weight [G, c]: each group of c channels divided by its own sqrt(mean(x²) + epsilon), times its weights. */
export const groupedRmsNorm = (x: Tensor, weight: Tensor, epsilon: number): Tensor =>
  norm({ x, weight }, { epsilon, groups: weight.shape[0] }).y;
