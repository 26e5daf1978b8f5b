// The kernels that may stand in for the chunked form: on tensors of their own, and on one that holds values and maps side by side.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import {
  chunk,
  convScan as convKernel,
  ssdScan as kernel,
  packedScan as packedKernel,
  wholeIsLess,
} from '../../../kernels/ssd-scan/kernel';
import { ssdStep } from '../../../kernels/state-step/kernel';
import { bind, hasKernel, tf } from '../../ops';
import type { StepContext } from '../define';
import { causalConvSilu } from '../parts/causal_conv';
import { changeState } from '../parts/state_step';
import { chunked, type Scan, type Scanned, step } from './reference';

const bound = bind(kernel, { replaces: (inputs) => ({ ...chunked(inputs as unknown as Scan, { chunk }) }) });

/** As `chunked` of reference.ts. */
export function ssdScan(scan: Scan): Scanned {
  const { y, finalState } = bound({ ...scan }, {});
  return { y: y as Tensor4D, finalState: finalState as Tensor4D };
}

/** Values of H·P channels, then input and output maps of G·N channels each, in mixed [b, T, H·P + 2·G·N]; the others as in `Scan`. */
export interface PackedScan {
  mixed: Tensor3D;
  dt: Tensor;
  A: Tensor;
  D?: Tensor;
}

function apart({ mixed, dt, A, D }: PackedScan, G: number, N: number): { y: Tensor3D } {
  const [b, T, width] = mixed.shape;
  const H = dt.shape[2]!;
  const inner = width - 2 * G * N;
  const [x, B, C] = tf.split(mixed, [inner, G * N, G * N], 2);
  const map = (u: Tensor) => tf.reshape(u, [b, T, G, N]) as Tensor4D;
  const { y } = ssdScan({ x: tf.reshape(x, [b, T, H, inner / H]) as Tensor4D, dt, A, B: map(B), C: map(C), D } as Scan);
  return { y: tf.reshape(y, [b, T, inner]) };
}

const boundPacked = bind(packedKernel, {
  replaces: (inputs, { groups, state }) => apart(inputs as unknown as PackedScan, Number(groups), Number(state)),
});

/** The scan from an empty state over packed values and maps of G groups with states of N channels: y [b, T, H·P]. */
function packedScan(scan: PackedScan, { G, N }: { G: number; N: number }): Tensor3D {
  // A device with the plain scan alone splits for it.
  if (!hasKernel(packedKernel.name)) return apart(scan, G, N).y;
  return boundPacked({ ...scan }, { groups: G, state: N }).y as Tensor3D;
}

/** Values and maps before their convolution by taps [K, H·P + 2·G·N] and bias, with SiLU behind it. */
export interface ConvolvedScan extends PackedScan {
  taps: Tensor;
  bias?: Tensor;
}

const boundConv = bind(convKernel, {
  replaces: (inputs, { groups, state }) => {
    const { mixed, taps, bias, ...rest } = inputs as unknown as ConvolvedScan;
    const convolved = causalConvSilu(mixed, taps, bias);
    return apart({ mixed: convolved, ...rest }, Number(groups), Number(state));
  },
});

/** The convolution and the scan of what comes out of it. */
export function convolvedScan(given: ConvolvedScan, { G, N }: { G: number; N: number }): Tensor3D {
  const { mixed, taps, bias, ...rest } = given;
  const [, T, width] = mixed.shape;
  const H = given.dt.shape[2]!;
  const short = wholeIsLess({ T, P: (width - 2 * G * N) / H, N, perGroup: H / G });
  if (short && hasKernel(convKernel.name)) return boundConv({ ...given }, { groups: G, state: N }).y as Tensor3D;
  return packedScan({ mixed: causalConvSilu(mixed, taps, bias), ...rest }, { G, N });
}

/** What a token gives the state: x [b, H, P], dt [b, H], A and D [H], B and C [b, G, N]. */
type Token = Parameters<typeof step>[1];

const boundStep = bind(ssdStep, {
  replaces: ({ s, ...token }) => {
    const { y, S } = step(s!, token as unknown as Token);
    return { s: S, y };
  },
});

/** One token, as `step` of reference.ts, in one pass over the state S [b, H, P, N]: y [b, H, P] and the state after it. */
export function scanStep(context: Pick<StepContext<unknown>, 'decoding'>, S: Tensor, token: Token) {
  const { s, y } = changeState(context, 'SsdStep', boundStep, { s: S, ...token });
  return { y: y as Tensor3D, S: s as Tensor4D };
}
