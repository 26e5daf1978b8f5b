// The attention kernel may stand in for the softmax matrix and its product, so that the matrix is never stored.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { attention as kernel } from '../../../kernels/attention/kernel';
import { bind } from '../../ops';
import { apply, type Maps, softmax } from './matrices';

const bound = bind(kernel, {
  replaces: ({ q, k, v }, { scale }) => ({
    o: apply(softmax({ q, k } as unknown as Maps, Number(scale)), v as Tensor4D),
  }),
});

/** v [B, T, H, P] mixed by the softmax matrix of maps of the same batch. */
export const attend = ({ q, k }: Maps, scale: number, v: Tensor4D): Tensor4D =>
  bound({ q, k, v }, { causal: false, scale }).o as Tensor4D;
