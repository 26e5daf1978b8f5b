// What the palette, the checker and the engine know of RWKV-4's time mixing.
import { segment } from '../../../kernels/wkv4/kernel';
import { defineBlock, type Init } from '../define';
import { config } from '../parts/golden';
import { orthogonal } from '../parts/orthogonal';
import { countDepth, depthOf } from '../parts/place';
import { WKV_FLOPS } from '../wkv4/block';
import { layer } from './layer';
import { options } from './options';

/** A value of each channel. */
const byChannel = (value: (j: number) => number): Init => ({ kind: 'drawn', value: (_, j) => value(j) });

export default defineBlock({
  id: 'rwkv4',
  role: 'mixer',
  title: 'RWKV-4 time mixing',
  paper: 'https://arxiv.org/abs/2305.13048',
  options,
  placed: (o, place) => countDepth(o, place, ['rwkv4']),
  causal: () => true,
  weights(o, D) {
    const A = o.inner || D;
    const { layer, layers, share } = depthOf(o);
    const nearly = 1 - layer / layers; // from 1 towards 0 with depth
    const mix = (value: (j: number) => number) => ({ shape: [D], init: byChannel(value) });
    const zeros = (shape: [number, number]) => ({ shape, init: { kind: 'zeros' } as const });
    const along = (j: number) => (A > 1 ? j / (A - 1) : 0);
    return {
      mu_k: mix((j) => (j / D) ** nearly),
      mu_v: mix((j) => (j / D) ** nearly + 0.3 * share),
      mu_r: mix((j) => (j / D) ** (0.5 * nearly)),
      time_decay: { shape: [A], init: byChannel((j) => -5 + 8 * along(j) ** (0.7 + 1.3 * share)) },
      time_first: { shape: [A], init: byChannel((j) => Math.log(0.3) + 0.5 * (((j + 1) % 3) - 1)) },
      w_k: zeros([D, A]),
      w_v: { shape: [D, A], init: orthogonal([D, A]) },
      w_r: zeros([D, A]),
      w_o: zeros([A, D]),
    };
  },
  state({ inner }, D) {
    const sum = { shape: [inner || D] };
    return { x_prev: { shape: [D] }, aa: sum, bb: sum, pp: sum };
  },
  cost({ inner }, D, T) {
    const A = inner || D;
    const matrices = T * 8 * D * A;
    const around = T * (9 * D + 3 * A);
    return {
      forwardFlops: matrices + around + T * A * WKV_FLOPS.forward,
      backwardFlops: 2 * (matrices + around) + T * A * WKV_FLOPS.backward,
      // Kept: what came in and its three blends, keys, values, receptance and the mean; sums a segment.
      savedNumbers: T * (4 * D + 4 * A) + Math.ceil(T / segment) * 3 * A,
      savedHalves: T * 3 * D,
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    return { width: read.number('d_model'), options: { inner: read.number('d_att', 0), layer: 0, layers: 1 } };
  },
});
