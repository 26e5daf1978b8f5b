// Sums of more tensors than a shader may bind.
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '../../tf';
import type { Overrides } from '../override';

/** Inputs beside the result, of the 8 storage buffers that every device grants. */
const MOST = 7;

export const overrides: Overrides = {
  AddN(_, inputs) {
    const terms = Object.values(inputs) as Tensor[];
    if (terms.length <= MOST) return undefined;
    const groups = Array.from({ length: Math.ceil(terms.length / MOST) }, (_, i) =>
      terms.slice(i * MOST, (i + 1) * MOST),
    );
    return tf.tidy(() => tf.addN(groups.map((group) => (group.length === 1 ? group[0] : tf.addN(group)))));
  },
};
