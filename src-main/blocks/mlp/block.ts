// What the palette, the checker and the engine know of the plain MLP.
import { defineBlock, type Init, type WeightSpec } from '../define';
import { layer } from './layer';
import { hiddenWidth, options } from './options';

/** Outputs as large as inputs, whatever the width. */
const from = (inputs: number): Init => ({ kind: 'normal', std: 1 / Math.sqrt(inputs) });

export default defineBlock({
  id: 'mlp',
  role: 'channel',
  title: 'MLP',
  paper: 'https://arxiv.org/abs/1706.03762',
  options,
  causal: () => true,
  weights(o, D) {
    const F = hiddenWidth(o, D);
    const weights: Record<string, WeightSpec> = {
      w_up: { shape: [D, F], init: from(D) },
      w_down: { shape: [F, D], init: from(F) },
    };
    if (o.bias) {
      weights.b_up = { shape: [F], init: { kind: 'zeros' } };
      weights.b_down = { shape: [D], init: { kind: 'zeros' } };
    }
    return weights;
  },
  state: () => ({}),
  cost(o, D, T) {
    const F = hiddenWidth(o, D);
    const forwardFlops = T * 4 * D * F;
    // Kept: the input, and the hidden layer before its activation, or after it where that suffices. Then the slope of what came out of the activation, in
    // whose place that itself comes; with a step between where TF.js's own op serves.
    const savedNumbers = T * (D + F);
    const workingNumbers = T * (D + (o.activation === 'sigmoid' || o.activation === 'tanh' ? 2 : 1) * F);
    return {
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      savedNumbers,
      savedHalves: T * D,
      besideHalves: T * F,
      workingNumbers,
    };
  },
  layer,
});
