// The kernels that may stand in for both maps, their difference and its norm.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { attention, differentialAttention } from '../../../kernels/attention/kernel';
import { bind, type Inputs, tf } from '../../ops';
import { rmsNorm } from '../parts/norm';
import type { Attributes } from '../softmax_attention/reference';
import { component, attend as composed, differ, type Heads, type Lambda } from './reference';

// Without the kernel nothing comes back for one map: the composition subtracts the maps before it reads the values.
const oneMap = bind(attention, { replaces: () => ({}) });

/** A_0 v − λ A_1 v by the attention kernel once for each map, where the device has it: half as many products more, but no T × T map in memory. */
function apart(heads: Heads, lambda: Lambda, attributes: Attributes): Tensor {
  const { q, k, v, cos, sin } = heads;
  const read = (c: 0 | 1): Tensor | undefined =>
    oneMap({ q: component(q, c), k: component(k, c), v, cos, sin }, { ...attributes }).o;
  const first = read(0);
  const second = first && read(1);
  return second ? differ(first, second, lambda) : composed(heads, lambda, attributes);
}

const bound = bind(differentialAttention, {
  replaces(inputs: Inputs, { causal, scale, epsilon }) {
    const { rest, weight } = inputs as Record<string, Tensor>;
    const lambda = { lambda: tf.sub(1, rest), rest };
    const o = apart(inputs as unknown as Heads, lambda, { causal: causal === true, scale: Number(scale) });
    return { y: rmsNorm(o, weight, Number(epsilon)) };
  },
});

/** The norm of what is left, each head by itself: weight [2d] and what is added to the mean square. */
export interface HeadNorm {
  weight: Tensor;
  epsilon: number;
}

/** `attend` of reference.ts, and each head of it normed: y [B, T, H, 2d]. */
export const attend = (
  heads: Heads,
  { rest }: Lambda,
  { weight, epsilon }: HeadNorm,
  attributes: Attributes,
): Tensor4D => bound({ ...heads, rest, weight }, { ...attributes, epsilon }).y as Tensor4D;
