// Root mean square and layer normalisation over the last axis.
import type { Tensor } from '@tensorflow/tfjs-core';
import { layerNorm as layerNormKernel } from '../../../kernels/layer-norm/kernel';
import {
  addRmsNorm as addRmsNormKernel,
  gatedRmsNorm as gatedRmsNormKernel,
  rmsNorm as rmsNormKernel,
} from '../../../kernels/rms-norm/kernel';
import { bind, hasKernel, tf } from '../../ops';
import { activate } from './activation';

/** x [.., D] divided by the root mean square of each of its `groups` of neighbouring channels. */
function normalise(x: Tensor, epsilon: number, groups = 1): Tensor {
  const parts = tf.reshape(x, [-1, groups, x.shape[x.rank - 1] / groups]); // [rows, G, D/G]
  const meanSquare = tf.mean(tf.square(parts), 2, true); // [rows, G, 1]
  return tf.reshape(tf.mul(parts, tf.rsqrt(tf.add(meanSquare, epsilon))), x.shape);
}

const rms = bind(rmsNormKernel, {
  replaces: ({ x, weight }, { epsilon, groups }) => ({
    y: tf.mul(normalise(x!, Number(epsilon), Number(groups ?? 1)), weight!),
  }),
});
const addRms = bind(addRmsNormKernel, {
  replaces: ({ x, y, weight }, { epsilon }) => {
    const sum = tf.add(x!, y!);
    return { sum, u: rms({ x: sum, weight }, { epsilon }).y };
  },
});
const gatedRms = bind(gatedRmsNormKernel, {
  replaces: ({ x, gate, weight }, { epsilon, groups, gateFirst }) => {
    const open = activate('silu', gate!);
    const norm = (u: Tensor) => tf.mul(normalise(u, Number(epsilon), Number(groups ?? 1)), weight!);
    return { y: gateFirst ? norm(tf.mul(x!, open)) : tf.mul(norm(x!), open) };
  },
});
const layer = bind(layerNormKernel, {
  replaces: ({ x, weight, bias }, { epsilon }) => {
    const centred = tf.sub(x!, tf.mean(x!, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    const y = tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, Number(epsilon)))), weight!);
    return { y: bias ? tf.add(y, bias) : y };
  },
});

/** x [.., D], weight [D] to x / sqrt(mean(x²) + epsilon) · weight. */
export const rmsNorm = (x: Tensor, weight: Tensor, epsilon: number): Tensor => rms({ x, weight }, { epsilon }).y;

/** The sum of x and y [.., D] and, as `u`, its `rmsNorm`. */
export function addRmsNorm(x: Tensor, y: Tensor, weight: Tensor, epsilon: number): { sum: Tensor; u: Tensor } {
  if (hasKernel('AddRmsNorm')) return addRms({ x, y, weight }, { epsilon }) as { sum: Tensor; u: Tensor };
  const sum = tf.add(x, y);
  return { sum, u: rmsNorm(sum, weight, epsilon) };
}

export interface GatedNormOptions {
  epsilon: number;
  /** Groups of D/groups neighbouring channels are normalised each by itself. */
  groups: number;
  /** true: norm(x · silu(gate)) · weight; false: norm(x) · weight · silu(gate). */
  gateFirst: boolean;
}
/** Mamba-2's norm with a SiLU gate: x and gate [.., D], weight [D]. */
export const gatedRmsNorm = (x: Tensor, gate: Tensor, weight: Tensor, options: GatedNormOptions): Tensor =>
  gatedRms({ x, gate, weight }, { ...options }).y;

/** x [.., D], weight and bias [D] to (x − mean) / sqrt(variance + epsilon) · weight + bias. */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor | undefined, epsilon: number): Tensor =>
  layer({ x, weight, bias }, { epsilon }).y;
