// The kernel that may stand in for the chunked form.
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { chunk, ssdScan as kernel } from '../../../kernels/ssd-scan/kernel';
import { bind } from '../../ops';
import { chunked, type Scan, type Scanned } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ ...chunked(inputs as unknown as Scan, { chunk }) }) });

/** As `chunked` of reference.ts. */
export function ssdScan(scan: Scan): Scanned {
  const { y, finalState } = bound({ ...scan }, {});
  return { y: y as Tensor4D, finalState: finalState as Tensor4D };
}
