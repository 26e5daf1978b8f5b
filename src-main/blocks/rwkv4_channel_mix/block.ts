// What the palette, the checker and the engine know of RWKV-4's channel mixing.
import { int } from '../../spec/options';
import { defineBlock, type Init } from '../define';
import { config } from '../parts/golden';
import { orthogonal } from '../parts/orthogonal';
import { countDepth, depthOf, depthOptions } from '../parts/place';
import { layer } from './layer';

const options = {
  hidden: int(0, { min: 0, help: 'Hidden width; 0 means four times the width.' }),
  ...depthOptions('the token shift at the start'),
};

export default defineBlock({
  id: 'rwkv4_channel_mix',
  role: 'channel',
  title: 'RWKV-4 channel mixing',
  paper: 'https://arxiv.org/abs/2305.13048',
  options,
  placed: (o, place) => countDepth(o, place, ['rwkv4_channel_mix']),
  causal: () => true,
  weights(o, D) {
    const F = o.hidden || 4 * D;
    const { layer, layers } = depthOf(o);
    const mix: Init = { kind: 'drawn', value: (_, j) => (j / D) ** (1 - layer / layers) };
    return {
      mu_k: { shape: [D], init: mix },
      mu_r: { shape: [D], init: mix },
      // Gain 2 at four times the width: √(hidden / width).
      w_k: { shape: [D, F], init: orthogonal([D, F], Math.sqrt(Math.max(1, F / D))) },
      w_v: { shape: [F, D], init: { kind: 'zeros' } },
      w_r: { shape: [D, D], init: { kind: 'zeros' } },
    };
  },
  state: (_, D) => ({ x_prev: { shape: [D] } }),
  cost({ hidden }, D, T) {
    const F = hidden || 4 * D;
    const forwardFlops = T * (4 * D * F + 2 * D * D + 10 * D);
    // Kept: what came in and its two blends, the hidden layer before its square, receptance and what it gates.
    const savedNumbers = T * (5 * D + F);
    return {
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      savedNumbers,
      savedHalves: T * 2 * D,
      besideHalves: T * F,
      workingNumbers: T * (2 * D + F),
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    return { width: read.number('d_model'), options: { hidden: read.number('d_hidden', 0), layer: 0, layers: 1 } };
  },
});
