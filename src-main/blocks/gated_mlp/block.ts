// What the palette, the checker and the engine know of the gated MLP.
import { defineBlock, type Init } from '../define';
import { layer } from './layer';
import { hiddenWidth, options } from './options';

/** Outputs as large as inputs, whatever the width. */
const from = (inputs: number): Init => ({ kind: 'normal', std: 1 / Math.sqrt(inputs) });

export default defineBlock({
  id: 'gated_mlp',
  role: 'channel',
  title: 'Gated MLP',
  paper: 'https://arxiv.org/abs/2002.05202',
  options,
  causal: () => true,
  weights(o, D) {
    const F = hiddenWidth(o, D);
    return {
      w_gate: { shape: [D, F], init: from(D) },
      w_up: { shape: [D, F], init: from(D) },
      w_down: { shape: [F, D], init: from(F) },
    };
  },
  state: () => ({}),
  cost(o, D, T) {
    const F = hiddenWidth(o, D);
    const forwardFlops = T * 6 * D * F;
    // Kept: the input and both branches, in whose place their slopes come. Then the slope of their product, in whose place that itself comes.
    const savedNumbers = T * (D + 2 * F);
    return {
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      savedNumbers,
      savedHalves: T * D,
      besideHalves: 2 * T * F,
      workingNumbers: T * (D + F),
    };
  },
  layer,
});
