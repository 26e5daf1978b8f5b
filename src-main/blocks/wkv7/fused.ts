// The kernel that may stand in for the composition.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { wkv7 as kernel } from '../../../kernels/wkv7/kernel';
import { bind } from '../../ops';
import { wkv as composed, type Rule } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ y: composed(inputs as unknown as Rule) }) });

/** As `wkv` of reference.ts: y [B, H, T, N]. */
export const wkv = (rule: Rule): Tensor4D => bound({ ...rule }, {}).y as Tensor4D;
