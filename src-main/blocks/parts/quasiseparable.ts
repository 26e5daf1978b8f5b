// The quasiseparable mixer of Hydra: a scan in each direction, both shifted by one token, and a diagonal of its own.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import {
  quasiseparable as kernel,
  wholeIsLess,
  wholeQuasiseparable as wholeKernel,
} from '../../../kernels/ssd-scan/kernel';
import { bind, type Composition, hasKernel, tf } from '../../ops';
import { ssdScan } from '../ssd_scan/fused';
import { mixingMatrix } from '../ssd_scan/reference';
import { linear } from './linear';
import { reversed } from './reversed';

/** One direction, in the order of time. */
export interface Direction {
  /** Step sizes [b, T, H], > 0. */
  dt: Tensor;
  /** Input maps [b, T, G, N]. */
  B: Tensor4D;
  /** Output maps [b, T, G, N]. */
  C: Tensor4D;
}
export interface Quasiseparable {
  /** Values [b, T, H, P]. */
  x: Tensor4D;
  /** Decay rates [H], < 0. */
  A: Tensor;
  forward: Direction;
  backward: Direction;
  /** Own weight of each token and head, D[h] + x · w_D[:, h] from all heads' values: D [H], w_D [H·P, H]. */
  D: Tensor;
  w_D: Tensor;
  /** Which token's output map reads the state: the neighbour that the state ends at, as in the released code, or the token itself. */
  read: 'neighbour' | 'own';
}

/** u [b, T + 1, …] without its first or without its last token; begin and size of every axis, as the native slice wants them. */
function without(end: 'first' | 'last', u: Tensor): Tensor {
  const [b, longer, ...rest] = u.shape;
  return tf.slice(u, [0, Number(end === 'first'), ...rest.map(() => 0)], [b, longer - 1, ...rest]);
}
const emptyToken = (u: Tensor): Tensor => tf.zeros([u.shape[0], 1, ...u.shape.slice(2)]);
/** u [b, T, …] later by one token, zeros first. All of u stays on the tape: of a single token the gradient is zero, not missing. */
const later = (u: Tensor): Tensor => without('last', tf.concat([emptyToken(u), u], 1));
/** u [b, T, …] earlier by one token, zeros last. */
const earlier = (u: Tensor): Tensor => without('first', tf.concat([u, emptyToken(u)], 1));
const turned = <T extends Tensor>(u: T): T => reversed(u, 1);

/** Own weights [b, T, H]. */
function ownWeight({ x, D, w_D }: Quasiseparable): Tensor3D {
  const [b, T, H, P] = x.shape;
  return linear(tf.reshape(x, [b, T, H * P]), w_D, D) as Tensor3D;
}

/** Each direction's scan in its own order of time. */
function scans({ x, A, forward, backward, read }: Quasiseparable) {
  // A state is read by its neighbour's map unless the maps are moved to meet it.
  const maps = (C: Tensor4D) => (read === 'own' ? (earlier(C) as Tensor4D) : C);
  const back = { dt: turned(backward.dt), B: turned(backward.B), C: turned(backward.C) };
  return [
    { x, A, ...forward, C: maps(forward.C) },
    { x: turned(x), A, ...back, C: maps(back.C) },
  ];
}

/** Values and maps side by side, [b, T, H·P + 4·G·N]: x, B and C ahead, B and C back; with what goes with them. */
export interface PackedQuasiseparable extends Pick<Quasiseparable, 'A' | 'D' | 'w_D'> {
  mixed: Tensor3D;
  /** Step sizes of both directions [b, T, H]. */
  ahead: Tensor;
  back: Tensor;
}
/** Groups G, state N, and which token's map reads. */
interface Reading {
  groups: number;
  state: number;
  read: Quasiseparable['read'];
}

function packed({ x, A, D, w_D, forward, backward, read }: Quasiseparable): PackedQuasiseparable {
  // A state is read by its neighbour's map unless the maps are moved to meet it.
  const [ahead, back] = read === 'own' ? [earlier(forward.C), later(backward.C)] : [forward.C, backward.C];
  const [b, T] = x.shape;
  const flat = [x, forward.B, ahead, backward.B, back].map((u) => tf.reshape(u, [b, T, -1]));
  return { mixed: tf.concat(flat, 2) as Tensor3D, ahead: forward.dt, back: backward.dt, A, D, w_D };
}

/** The parts of what lies side by side. */
export function apart(
  { mixed, ahead, back, A, D, w_D }: PackedQuasiseparable,
  { groups, state, read }: Reading,
): Quasiseparable {
  const [b, T, width] = mixed.shape;
  const maps = [0, 1, 2, 3].map(() => groups * state);
  const [x, Bf, Cf, Bb, Cb] = tf
    .split(mixed, [width - 4 * groups * state, ...maps], 2)
    .map((u, i) => tf.reshape(u, [b, T, i ? groups : ahead.shape[2]!, -1]) as Tensor4D);
  return { x, A, D, w_D, forward: { dt: ahead, B: Bf, C: Cf }, backward: { dt: back, B: Bb, C: Cb }, read };
}

const flatten = (y: Tensor4D): Tensor3D => tf.reshape(y, [y.shape[0], y.shape[1], -1]) as Tensor3D;

const replaces: Composition = (inputs, { groups, state }) => {
  const reading = { groups: Number(groups), state: Number(state), read: 'neighbour' } as const;
  return { y: flatten(composed(apart(inputs as unknown as PackedQuasiseparable, reading))) };
};
const boundStates = bind(kernel, { replaces });
const boundWhole = bind(wholeKernel, { replaces });

/** The kernel that is less work for so many tokens. */
function bound(given: PackedQuasiseparable, { groups: G, state: N }: { groups: number; state: number }) {
  const [, T, width] = given.mixed.shape;
  const H = given.ahead.shape[2]!;
  const short = wholeIsLess({ T, P: (width - 4 * G * N) / H, N, perGroup: H / G });
  return (short && hasKernel(wholeKernel.name) ? boundWhole : boundStates)({ ...given }, { groups: G, state: N });
}

/** y[t] = forward scan [t−1] + backward scan [t+1] + own weight[t] x[t], [b, T, H, P]. */
export function mixQuasiseparable(given: Quasiseparable): Tensor4D {
  if (!hasKernel(kernel.name)) return composed(given);
  const [, , groups, state] = given.forward.B.shape;
  return tf.reshape(bound(packed(given), { groups, state }).y, given.x.shape);
}

/** The same of values and maps that already lie side by side: [b, T, H·P]. */
export function mixPacked(given: PackedQuasiseparable, reading: Reading): Tensor3D {
  const { groups, state, read } = reading;
  if (read === 'own' || !hasKernel(kernel.name)) return flatten(mixQuasiseparable(apart(given, reading)));
  return bound(given, { groups, state }).y as Tensor3D;
}

/** The same in scans of their own, the second over turned tokens. */
function composed(given: Quasiseparable): Tensor4D {
  const [ahead, back] = scans(given).map((scan) => later(ssdScan(scan).y));
  const own = tf.mul(given.x, tf.expandDims(ownWeight(given), 3));
  return tf.add(tf.add(ahead, turned(back)), own) as Tensor4D;
}

/** The same as one matrix [b, H, T, T], the diagonal in it: y[t] = Σ_s M[t,s] x[s]. */
export function quasiseparableMatrix(given: Quasiseparable): Tensor4D {
  const [b, T, H] = given.x.shape;
  const shifted = (M: Tensor4D) => tf.reshape(later(tf.reshape(M, [b * H, T, T])), [b, H, T, T]); // rows move down
  const [below, above] = scans(given).map((scan) => shifted(mixingMatrix(scan)));
  const diagonal = tf.mul(tf.expandDims(tf.transpose(ownWeight(given), [0, 2, 1]), 3), tf.eye(T));
  return tf.addN([below, tf.reverse(above, [2, 3]), diagonal]) as Tensor4D;
}
