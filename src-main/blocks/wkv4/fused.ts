// The kernel that may stand in for the scan.
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { wkv4 as kernel } from '../../../kernels/wkv4/kernel';
import { bind } from '../../ops';
import { type Mean, wkv as scanned } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ y: scanned(inputs as unknown as Mean) }) });

/** As `wkv` of reference.ts: y [B, T, C]. */
export const wkv = (mean: Mean): Tensor3D => bound({ ...mean }, {}).y as Tensor3D;
