// The quasiseparable mixer of Hydra: a scan in each direction, both shifted by one token, and a diagonal of its own.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { quasiseparable as kernel } from '../../../kernels/ssd-scan/kernel';
import { bind, hasKernel, tf } from '../../ops';
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
  /** Own weight of each token [b, T, H]. */
  diagonal: Tensor;
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

/** The diagonal D[h] + x · w_D[:, h] from all heads' values: x [b, T, H, P], D [H], w_D [H·P, H] to [b, T, H]. */
export function ownWeight(x: Tensor4D, D: Tensor, w_D: Tensor): Tensor3D {
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

/** Values and maps side by side as `packedMix` takes them, [b, T, H·P + 4·G·N]. */
function packed({ x, forward, backward, read }: Quasiseparable): Tensor3D {
  // A state is read by its neighbour's map unless the maps are moved to meet it.
  const [ahead, back] = read === 'own' ? [earlier(forward.C), later(backward.C)] : [forward.C, backward.C];
  const [b, T] = x.shape;
  return tf.concat(
    [x, forward.B, ahead, backward.B, back].map((u) => tf.reshape(u, [b, T, -1])),
    2,
  ) as Tensor3D;
}

const bound = bind(kernel, {
  replaces({ mixed, ahead, back, A, own }, { groups, state }) {
    const [b, T, width] = mixed!.shape as [number, number, number];
    const [G, N, H] = [Number(groups), Number(state), ahead!.shape[2]!];
    const maps = [0, 1, 2, 3].map(() => G * N);
    const [x, Bf, Cf, Bb, Cb] = tf
      .split(mixed!, [width - 4 * G * N, ...maps], 2)
      .map((u, i) => tf.reshape(u, [b, T, i ? G : H, -1]) as Tensor4D);
    const forward = { dt: ahead!, B: Bf, C: Cf };
    const backward = { dt: back!, B: Bb, C: Cb };
    const y = composed({ x, A: A!, forward, backward, diagonal: own!, read: 'neighbour' });
    return { y: tf.reshape(y, [b, T, width - 4 * G * N]) };
  },
});

/** y[t] = forward scan [t−1] + backward scan [t+1] + diagonal[t] x[t], [b, T, H, P]. `whole`: values and maps as they lie side by side, if they do. */
export function mixQuasiseparable(given: Quasiseparable, whole?: Tensor3D): Tensor4D {
  if (!hasKernel(kernel.name)) return composed(given);
  const { x, A, forward, backward, diagonal, read } = given;
  const [, , groups, state] = forward.B.shape;
  const mixed = whole && read === 'neighbour' ? whole : packed(given);
  const { y } = bound({ mixed, ahead: forward.dt, back: backward.dt, A, own: diagonal }, { groups, state });
  return tf.reshape(y, x.shape);
}

/** The same in scans of their own, the second over turned tokens. */
function composed(given: Quasiseparable): Tensor4D {
  const [ahead, back] = scans(given).map((scan) => later(ssdScan(scan).y));
  const own = tf.mul(given.x, tf.expandDims(given.diagonal, 3));
  return tf.add(tf.add(ahead, turned(back)), own) as Tensor4D;
}

/** The same as one matrix [b, H, T, T], the diagonal in it: y[t] = Σ_s M[t,s] x[s]. */
export function quasiseparableMatrix(given: Quasiseparable): Tensor4D {
  const [b, T, H] = given.x.shape;
  const shifted = (M: Tensor4D) => tf.reshape(later(tf.reshape(M, [b * H, T, T])), [b, H, T, T]); // rows move down
  const [below, above] = scans(given).map((scan) => shifted(mixingMatrix(scan)));
  const diagonal = tf.mul(tf.expandDims(tf.transpose(given.diagonal, [0, 2, 1]), 3), tf.eye(T));
  return tf.addN([below, tf.reverse(above, [2, 3]), diagonal]) as Tensor4D;
}
