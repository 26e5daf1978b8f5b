// The kernels that may stand in: for the chunked form, and for the logarithms of the decays.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { gatedLinearScan as kernel } from '../../../kernels/gated-linear-scan/kernel';
import { logDecay } from '../../../kernels/log-decay/kernel';
import { bind, hasKernel, tf } from '../../ops';
import { logSigmoid } from '../parts/log_sigmoid';
import { chunked, type Heads } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ o: chunked(inputs as unknown as Heads) }) });

/** As `chunked` of reference.ts: o [b, T, H, e]. */
export const gatedLinearScan = (heads: Heads): Tensor4D => bound({ ...heads }, {}).o as Tensor4D;

/** max(floor, ln σ(x) · share) of x of any shape. */
function composed(x: Tensor, { share, floor }: { share: number; floor: number }): Tensor {
  const g = tf.mul(logSigmoid(x), share);
  return floor === Number.NEGATIVE_INFINITY ? g : tf.maximum(g, floor);
}
const decays = bind(logDecay, {
  replaces: ({ x }, { share, floor }) => ({ y: composed(x!, { share: Number(share), floor: Number(floor) }) }),
});

/** The same in one pass where the device can: a device without the kernel loses nothing worth telling. */
export const logDecays = (x: Tensor, options: { share: number; floor: number }): Tensor =>
  hasKernel(logDecay.name) ? decays({ x }, options).y : composed(x, options);
