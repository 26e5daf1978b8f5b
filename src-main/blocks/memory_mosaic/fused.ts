// The kernels that may stand in for the smoothing and for what makes its values.
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import { attention } from '../../../kernels/attention/kernel';
import { mixedValues } from '../../../kernels/memory-mosaic/kernel';
import { bind } from '../../ops';
import type { Scaled } from '../parts/memory_key';
import { smooth as composed, valuesOfAll } from './reference';

// Attention without a scale to the tokens before, keys being queries too.
const smoothing = bind(attention, {
  replaces: ({ k, v }) => ({ o: composed(k as Tensor4D, v as Tensor4D) }),
});

/** As `smooth` of reference.ts. */
export const smooth = (keys: Tensor4D, values: Tensor4D): Tensor4D =>
  smoothing({ q: keys, k: keys, v: values }, { causal: true, strict: true, scale: 1 }).o as Tensor4D;

const values = bind(mixedValues, {
  replaces: ({ u, mix, scale }, { rawScaling, epsilon }) => ({
    v: valuesOfAll(u as Tensor4D, mix!, scale!, { rawScaling: Number(rawScaling), normEps: Number(epsilon) }),
  }),
});

/** As `valuesOfAll` of reference.ts. */
export const mixValues = (raw: Tensor4D, valMix: Tensor, valScale: Tensor, { rawScaling, normEps }: Scaled): Tensor4D =>
  values({ u: raw, mix: valMix, scale: valScale }, { rawScaling, epsilon: normEps }).v as Tensor4D;
