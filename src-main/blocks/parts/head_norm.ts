// Layer normalisation of each head by itself, with a scale and shift of every channel; alone, or with a skip and an output gate behind it.
import type { Tensor, Tensor3D } from '@tensorflow/tfjs-core';
import { headNorm as kernel } from '../../../kernels/head-norm/kernel';
import { bind, hasKernel, type Inputs, tf } from '../../ops';
import { gate as gated } from './activation';
import { layerNorm } from './norm';

function composed({ x, weight, bias, skip, side, gate }: Inputs, heads: number, epsilon: number): { y: Tensor } {
  const D = x!.shape[x!.rank - 1];
  const parts = tf.reshape(x!, [...x!.shape.slice(0, -1), heads, D / heads]);
  const normed = tf.reshape(layerNorm(parts, tf.ones([D / heads]), undefined, epsilon), x!.shape);
  const scaled = tf.mul(normed, weight!);
  const moved = bias ? tf.add(scaled, bias) : scaled;
  const both = skip ? tf.add(moved, tf.mul(side!, skip)) : moved;
  return { y: gate ? gated('silu', gate, both) : both };
}

const bound = bind(kernel, {
  replaces: (inputs, { heads, epsilon }) => composed(inputs, Number(heads), Number(epsilon)),
});

interface Behind {
  bias?: Tensor;
  /** skip [D] · side [B, T, D] is added. */
  skip?: Tensor;
  side?: Tensor;
  /** [B, T, D]: all is multiplied by silu(gate). */
  gate?: Tensor;
}

/** x [B, T, D] in `heads` of neighbouring channels: mean 0 and variance 1 in each, then weight [D] and what is behind. */
export function headNorm(x: Tensor, heads: number, epsilon: number, weight: Tensor, behind: Behind = {}): Tensor3D {
  const inputs = { x, weight, ...behind };
  // A device with the norm of whole rows alone makes it of that.
  const { y } = hasKernel(kernel.name) ? bound(inputs, { heads, epsilon }) : composed(inputs, heads, epsilon);
  return y as Tensor3D;
}
