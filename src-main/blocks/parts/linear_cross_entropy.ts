// The last linear map and the cross-entropy of its logits, in one call where the vocabulary is so large that logits should never stand whole.
import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { linearCrossEntropy as kernel } from '../../../kernels/linear-cross-entropy/kernel';
import { bind, tf } from '../../ops';
import { crossEntropy } from './cross_entropy';

/** Classes from which on the kernel serves: below, whole logits are small beside the stream. */
const LARGE = 2048;

/** x [rows, D] times w [D, V], or tied [V, D]. */
const logitsOf = (x: Tensor, w: Tensor, tied: boolean): Tensor =>
  tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D, false, tied);

const bound = bind(kernel, {
  replaces: ({ x, w, targets, mask }, { tied, labelSmoothing }) => ({
    loss: crossEntropy(logitsOf(x!, w!, tied === true), targets!, mask, Number(labelSmoothing)),
  }),
});

/** x [rows, D], w [D, V] or, tied, [V, D], to the mean loss as `crossEntropy` gives it for the logits x·w. */
export function linearCrossEntropy(
  x: Tensor,
  w: Tensor,
  tied: boolean,
  targets: Tensor,
  mask: Tensor | undefined,
  labelSmoothing: number,
): Scalar {
  if (w.shape[tied ? 0 : 1]! < LARGE) return crossEntropy(logitsOf(x, w, tied), targets, mask, labelSmoothing);
  return bound({ x, w, targets, mask }, { tied, labelSmoothing }).loss as Scalar;
}
