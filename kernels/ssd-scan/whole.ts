// The scans of packed.ts over short sequences, where the whole matrix is less work and no states need be kept; Mamba-2's with its convolution.
import { defineKernel, type Kernel, type Shape, sizeOf } from '../core/kernel';
import { packedScan, quasiseparable, quasiseparableGrad } from './packed';

/** The longest sequence, in tokens. */
export const LONGEST = 256;

const tooLong = ([, T]: Shape): string | undefined =>
  T > LONGEST
    ? `${T} tokens are more than the ${LONGEST} of a scan without states; longer ones want chunks`
    : undefined;

/**
 * CausalConv with SiLU and PackedScan behind it, of at most 256 tokens: mixed [b, T, H·P + 2·G·N], taps [K, H·P + 2·G·N] and bias of as many
 * channels, dt [b, T, H], A and D [H], to y [b, T, H·P]. Nothing is kept for the gradient but the inputs. Attributes: groups G, state N.
 */
export const convScan = defineKernel({
  name: 'ConvScan',
  inputs: ['mixed', 'taps', 'bias?', 'dt', 'A', 'D?'],
  outputs: (shapes, attrs) => ({ y: packedScan.outputs(shapes, attrs).y }),
  ints: (shapes, attrs) => [...packedScan.ints(shapes, attrs), shapes.taps[0]],
  refuses(shapes, attrs) {
    const { mixed, taps, bias } = shapes;
    const why = packedScan.refuses?.(shapes, attrs) ?? tooLong(mixed);
    if (why) return why;
    if (taps.length !== 2 || taps[1] !== mixed[2]) return `taps [${taps}] must be [taps, ${mixed[2]}]`;
    if (taps[0] < 1 || taps[0] > 16) return `there are ${taps[0]} taps; 1 to 16 fit`;
    if (bias && sizeOf(bias) !== mixed[2]) return `bias has ${sizeOf(bias)} entries, mixed has ${mixed[2]} channels`;
    return undefined;
  },
  gradient: {
    kernel: 'ConvScanGrad',
    inputs: ['mixed', 'taps', 'bias', 'dt', 'A', 'D'],
    outputs: [],
    cotangents: ['y'],
    of: ['mixed', 'taps', 'bias', 'dt', 'A', 'D'],
  },
});
export const convScanGrad = defineKernel({
  name: 'ConvScanGrad',
  inputs: ['mixed', 'taps', 'bias?', 'dt', 'A', 'D?', 'dy'],
  outputs: ({ mixed, taps, dt, A }) => ({ dmixed: mixed, dtaps: taps, dbias: [mixed[2]], ddt: dt, dA: A, dD: A }),
  ints: (shapes, attrs) => [...packedScan.ints(shapes, attrs), shapes.taps[0]],
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

export const wholeKernels: Kernel[] = [convScan, convScanGrad, wholeQuasiseparable, wholeQuasiseparableGrad];
