// Softmax cross-entropy against target ids, in nats, meaned over the graded tokens.
import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { crossEntropy as kernel } from '../../../kernels/cross-entropy/kernel';
import { bind, tf } from '../../ops';

const entropy = bind(kernel, {
  replaces: ({ logits, targets, mask }, { labelSmoothing }) => {
    const V = logits!.shape[logits!.rank - 1];
    const epsilon = Number(labelSmoothing ?? 0);
    const logShares = tf.logSoftmax(tf.reshape(logits!, [-1, V])); // [rows, V]
    const wanted = tf.add(tf.mul(tf.oneHot(tf.reshape(targets!, [-1]), V), 1 - epsilon), epsilon / V);
    const rows = tf.neg(tf.sum(tf.mul(logShares, wanted), 1)); // [rows]
    if (!mask) return { loss: tf.mean(rows) };
    const weight = tf.reshape(mask, [-1]);
    return { loss: tf.div(tf.sum(tf.mul(rows, weight)), tf.maximum(tf.sum(weight), 1e-9)) };
  },
});

/**
 * logits [.., V], targets [..] int32, mask [..] (1 graded, 0 not; all graded without one) to the mean loss.
 * With labelSmoothing ε the target's share is 1 − ε + ε/V and every other id's ε/V.
 */
export const crossEntropy = (
  logits: Tensor,
  targets: Tensor,
  mask: Tensor | undefined,
  labelSmoothing: number,
): Scalar => entropy({ logits, targets, mask }, { labelSmoothing }).loss as Scalar;
