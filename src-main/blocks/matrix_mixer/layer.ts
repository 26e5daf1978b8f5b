// The shell around every mixing matrix: project, convolve, mix, norm with gate, project.
import type { Tensor, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { tf } from '../../ops';
import { SpecError } from '../../spec/error';
import type { Layer, Weights } from '../define';
import { stepSizes } from '../mamba2/reference';
import { centredConv } from '../parts/centred_conv';
import { linear, splitLinear } from '../parts/linear';
import { gatedRmsNorm } from '../parts/norm';
import { mixQuasiseparable, type Quasiseparable, quasiseparableMatrix } from '../parts/quasiseparable';
import { attend } from './fused';
import * as matrices from './matrices';
import { type MatrixMixerOptions, sizes, tooLong } from './options';

type Size = ReturnType<typeof sizes>;

/** What a structure makes of values [B, T, H, P]: the mixed values, and its matrix for those who want to see it. */
interface Mixed {
  y: Tensor4D;
  matrix(): Tensor4D;
}
/** What a mixer may draw on beside the weights. */
interface Sources {
  v: Tensor4D;
  /** Convolved maps [B, T, maps]; absent where the data do not make the matrix. */
  maps?: Tensor3D;
  /** Raw step sizes [B, T, 2H], of a quasiseparable matrix that the data make. */
  steps?: Tensor3D;
}

/** SiLU follows the convolution on the maps too, not on the values alone. */
const ACTIVE: Record<MatrixMixerOptions['structure'], boolean> = {
  dense: false,
  toeplitz: true,
  vandermonde: false,
  cauchy: false,
  low_rank: true,
  attention: false,
  quasiseparable: true,
};

/** The first T of L positions of a learned table, as maps of one sequence [1, T, H, d]. */
const positions = (table: Tensor, T: number): Tensor4D =>
  tf.expandDims(tf.slice(table, [0, 0, 0], [T, table.shape[1]!, table.shape[2]!]), 0);

function rowAndColumnMaps({ v, maps }: Sources, w: Weights, { H, d }: Size): matrices.Maps {
  const [B, T] = v.shape;
  if (!maps) return { q: positions(w.q_pos, T), k: positions(w.k_pos, T) };
  const [q, k] = tf.split(maps, 2, 2).map((u) => tf.reshape(u, [B, T, H, d]) as Tensor4D);
  return { q, k };
}

function toeplitzMatrix({ v, maps }: Sources, w: Weights, { L }: Size, index: MatrixMixerOptions['toeplitzIndex']) {
  const T = v.shape[1];
  const aligned = maps
    ? matrices.tapsOf(...(tf.split(maps, 2, 2) as [Tensor3D, Tensor3D]))
    : (tf.expandDims(w.taps, 0) as Tensor3D);
  const taps = index === 'reference' ? matrices.onePlaceOff(aligned) : aligned;
  return matrices.toeplitz(maps ? taps : matrices.middleTaps(taps, T), 0.5 / Math.sqrt(L));
}

function quasiseparable({ v, maps, steps }: Sources, w: Weights, { H, d }: Size): Quasiseparable {
  const [b, T] = v.shape;
  // One sequence's maps serve all where the data do not make them.
  const both = maps ?? tf.mul(tf.slice(w.BC, [0, 0], [T, 2 * H * d]), tf.ones([b, 1, 1]));
  const [B, C] = tf.split(both, 2, 2).map((u) => tf.reshape(u, [b, T, 1, H * d]) as Tensor4D);
  const raw = steps ? tf.split(steps, 2, 2) : [tf.zeros([b, T, H]), tf.zeros([b, T, H])];
  const [forward, backward] = raw.map((one) => ({ dt: stepSizes(one, w.dt_bias, null), B, C }));
  return { x: v, A: tf.neg(tf.exp(w.A_log)), forward, backward, D: w.D, w_D: w.w_D, read: 'neighbour' };
}

function mix(sources: Sources, w: Weights, options: MatrixMixerOptions, size: Size): Mixed {
  const { v } = sources;
  const T = v.shape[1];
  const { L, d } = size;
  const applied = (M: Tensor4D): Mixed => ({ y: tf.add(v, matrices.apply(M, v)), matrix: () => M });
  switch (options.structure) {
    case 'dense':
      return applied(matrices.dense(w.M as Tensor3D, T, 1 / Math.sqrt(L)));
    case 'toeplitz':
      return applied(toeplitzMatrix(sources, w, size, options.toeplitzIndex));
    case 'vandermonde': {
      if (!sources.maps && options.vandermondeKind === 'dft') return applied(matrices.cosineTransform(T, L));
      const waves = sources.maps ? matrices.slowWaves : matrices.learnedWaves;
      return applied(waves(rowAndColumnMaps(sources, w, size), 1 / Math.sqrt(2 * L * d)));
    }
    case 'cauchy':
      return applied(matrices.cauchy(rowAndColumnMaps(sources, w, size), 1 / Math.sqrt(L * d), w.bias));
    case 'low_rank': {
      const maps = rowAndColumnMaps(sources, w, size);
      const scale = 1 / Math.sqrt(L * d);
      return {
        y: tf.add(v, matrices.applyLowRank(maps, scale, v)),
        matrix: () => matrices.lowRank(maps, scale),
      };
    }
    case 'attention': {
      const maps = rowAndColumnMaps(sources, w, size);
      const scale = 1 / Math.sqrt(d);
      // One matrix for all sequences is made once; one for each is for the kernel.
      if (!sources.maps) return applied(matrices.softmax(maps, scale));
      return { y: tf.add(v, attend(maps, scale, v)), matrix: () => matrices.softmax(maps, scale) };
    }
    case 'quasiseparable': {
      const both = quasiseparable(sources, w, size);
      return { y: mixQuasiseparable(both), matrix: () => quasiseparableMatrix(both) };
    }
  }
}

export const layer: Layer<MatrixMixerOptions> = {
  forward(x, w, { options, extra }) {
    const [b, T, width] = x.shape;
    const size = sizes(options, width);
    const { inner, H, P, maps: mapped, steps: stepped } = size;
    const wrong = tooLong(options, T, 'options');
    if (wrong.length) throw new SpecError(wrong);
    const parts = [inner, inner, mapped, stepped].filter((count) => count > 0);
    const columns = splitLinear(x, w.w_in, undefined, parts) as Tensor3D[];
    const [z, values] = columns;
    const convolve = (u: Tensor3D, from: number, active: boolean) =>
      centredConv(
        u,
        tf.slice(w.conv_w, [0, from], [-1, u.shape[2]]),
        tf.slice(w.conv_b, from, u.shape[2]),
        active ? 'silu' : 'none',
      );
    const v = tf.reshape(convolve(values, 0, true), [b, T, H, P]) as Tensor4D;
    const maps = mapped ? convolve(columns[2], inner, ACTIVE[options.structure]) : undefined;
    const { y, matrix } = mix({ v, maps, steps: stepped ? columns[3] : undefined }, w, options, size);
    const flat = tf.reshape(y, [b, T, inner]);
    extra?.('y_mix', flat);
    if (extra) extra('M', matrix());
    const normed = gatedRmsNorm(flat, z, w.norm_w, { epsilon: options.normEps, groups: 1, gateFirst: false });
    return linear(normed, w.w_out) as Tensor3D;
  },
};
