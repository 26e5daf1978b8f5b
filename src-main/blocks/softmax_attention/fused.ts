// The kernel that may stand in for plain softmax attention, on every device that has it.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { attention } from '../../../kernels/attention/kernel';
import { bind } from '../../ops';
import { type Attributes, attend as composed, type Heads } from './reference';

const bound = bind(attention, {
  replaces: (inputs, attrs) => ({ o: composed(inputs as unknown as Heads, attrs as unknown as Attributes) }),
});

/** As `attend` of reference.ts. */
export const attend = (heads: Heads, attributes: Attributes): Tensor4D =>
  bound({ ...heads }, { ...attributes }).o as Tensor4D;
