// The scans of packed.ts over short sequences: no states are kept, since the whole matrix is less work.
import { defineKernel, type Kernel, type Shape } from '../core/kernel';
import { packedScan, packedScanGrad, quasiseparable, quasiseparableGrad } from './packed';

/** The longest sequence, in tokens. */
export const LONGEST = 256;

const tooLong = ([, T]: Shape): string | undefined =>
  T > LONGEST ? `${T} tokens are more than the ${LONGEST} of a scan without states; PackedScan and Quasiseparable take any` : undefined; // biome-ignore format: one line

/** As PackedScan, of at most 256 tokens: mixed, dt, A and D to y. */
export const wholeScan = defineKernel({
  ...packedScan,
  name: 'WholeScan',
  outputs: (shapes, attrs) => ({ y: packedScan.outputs(shapes, attrs).y }),
  refuses: (shapes, attrs) => packedScan.refuses?.(shapes, attrs) ?? tooLong(shapes.mixed),
  gradient: { ...packedScan.gradient!, kernel: 'WholeScanGrad', outputs: [] },
});
export const wholeScanGrad = defineKernel({
  ...packedScanGrad,
  name: 'WholeScanGrad',
  inputs: ['mixed', 'dt', 'A', 'D?', 'dy'],
});

/** As Quasiseparable, of at most 256 tokens; own is kept for the gradient. */
export const wholeQuasiseparable = defineKernel({
  ...quasiseparable,
  name: 'WholeQuasiseparable',
  outputs(shapes, attrs) {
    const { y, own } = quasiseparable.outputs(shapes, attrs);
    return { y, own };
  },
  refuses: (shapes, attrs) => quasiseparable.refuses?.(shapes, attrs) ?? tooLong(shapes.mixed),
  gradient: { ...quasiseparable.gradient!, kernel: 'WholeQuasiseparableGrad', outputs: ['own'] },
});
export const wholeQuasiseparableGrad = defineKernel({
  ...quasiseparableGrad,
  name: 'WholeQuasiseparableGrad',
  inputs: ['mixed', 'ahead', 'back', 'A', 'D', 'w_D', 'own', 'dy'],
});

/**
 * Whether a scan without states is less work: multiply-adds a token and head of width P, forward and backward, against those of chunks of 64 with
 * states of N channels; `perGroup` heads share their maps. Up to an eighth more is made up for by what need not be kept and read again.
 */
export function wholeIsLess({ T, P, N, perGroup }: { T: number; P: number; N: number; perGroup: number }): boolean {
  const pairs = 3 * P + (4 * N) / perGroup; // a token before this one
  const states = T > 64 ? 12 * N * P * (1 - 64 / T) : 0;
  return T <= LONGEST && 8 * T * pairs <= 9 * (Math.min(T, 64) * pairs + states);
}

export const wholeKernels: Kernel[] = [wholeScan, wholeScanGrad, wholeQuasiseparable, wholeQuasiseparableGrad];
