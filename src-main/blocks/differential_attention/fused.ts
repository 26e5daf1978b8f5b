// The attention kernel once for each map, A_0 v − λ A_1 v, where the device has it: half as many products more, but no T × T map in memory.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { attention } from '../../../kernels/attention/kernel';
import { bind } from '../../ops';
import type { Attributes } from '../softmax_attention/reference';
import { attend as composed, differ, type Heads, type Lambda } from './reference';

// Without the kernel nothing comes back for one map: the composition subtracts the maps before it reads the values.
const bound = bind(attention, { replaces: () => ({}) });

/** As `attend` of reference.ts. */
export function attend(heads: Heads, lambda: Lambda, attributes: Attributes): Tensor4D {
  const { q, k, v, cos, sin } = heads;
  const read = (c: 0 | 1): Tensor | undefined => bound({ q: q[c], k: k[c], v, cos, sin }, { ...attributes }).o;
  const first = read(0);
  const second = first && read(1);
  return second ? (differ(first, second, lambda) as Tensor4D) : composed(heads, lambda, attributes);
}
