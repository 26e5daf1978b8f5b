// What the palette, the checker and the engine know of RWKV-7's channel mixing.
import { int } from '../../spec/options';
import { defineBlock } from '../define';
import { orthogonal } from '../parts/orthogonal';
import { countDepth, depthOf, depthOptions } from '../parts/place';
import { layer } from './layer';

const options = {
  hidden: int(0, { min: 0, help: 'Hidden width; 0 means four times the width.' }),
  ...depthOptions('the token shift at the start'),
};

export default defineBlock({
  id: 'rwkv7_channel_mix',
  role: 'channel',
  title: 'RWKV-7 channel mixing',
  paper: 'https://arxiv.org/abs/2503.14456',
  options,
  placed: (o, place) => countDepth(o, place, ['rwkv7_channel_mix']),
  causal: () => true,
  weights(o, D) {
    const F = o.hidden || 4 * D;
    const { layer, layers } = depthOf(o);
    return {
      x_k: { shape: [D], init: { kind: 'drawn', value: (_, j) => 1 - (j / D) ** ((1 - layer / layers) ** 4) } },
      w_k: { shape: [D, F], init: orthogonal([D, F]) },
      w_v: { shape: [F, D], init: { kind: 'zeros' } },
    };
  },
  state: (_, D) => ({ x_prev: { shape: [D] } }),
  cost({ hidden }, D, T) {
    const F = hidden || 4 * D;
    const forwardFlops = T * (4 * D * F + 3 * D + 2 * F);
    // Kept: what came in and its blend, the hidden layer before its square.
    const savedNumbers = T * (2 * D + F);
    return {
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      savedNumbers,
      savedHalves: T * D,
      besideHalves: T * F,
      workingNumbers: T * (D + F),
    };
  },
  layer,
});
