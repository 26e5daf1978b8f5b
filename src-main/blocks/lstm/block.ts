// What the palette, the checker and the engine know of the LSTM.
import { defineBlock } from '../define';
import { hiddenWidth, recurrentCost, recurrentProblems, recurrentWeights } from '../parts/recurrent';
import { layer } from './layer';
import { options } from './options';

const GATES = 4;

export default defineBlock({
  id: 'lstm',
  role: 'mixer',
  title: 'LSTM',
  paper: 'https://arxiv.org/abs/1503.04069',
  options,
  rules: recurrentProblems,
  causal: () => true,
  weights(o, D) {
    const h = hiddenWidth(o, D);
    return recurrentWeights(o, D, GATES, (index) => (Math.floor(index / h) === 1 ? o.forgetBias : 0));
  },
  state(o, D) {
    const h = hiddenWidth(o, D);
    return { h: { shape: [h] }, c: { shape: [h] } };
  },
  // Kept of each token: four gates, the cell and the output.
  cost: (o, D, T) => recurrentCost(o, D, T, GATES, 6),
  layer,
});
