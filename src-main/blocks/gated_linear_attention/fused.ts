// The kernel that may stand in for the chunked form.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { gatedLinearScan as kernel } from '../../../kernels/gated-linear-scan/kernel';
import { bind } from '../../ops';
import { chunked, type Heads } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ o: chunked(inputs as unknown as Heads) }) });

/** As `chunked` of reference.ts: o [b, T, H, e]. */
export const gatedLinearScan = (heads: Heads): Tensor4D => bound({ ...heads }, {}).o as Tensor4D;
