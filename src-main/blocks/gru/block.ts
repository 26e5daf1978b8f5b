// What the palette, the checker and the engine know of the GRU.
import { defineBlock } from '../define';
import { hiddenWidth, recurrentCost, recurrentProblems, recurrentWeights } from '../parts/recurrent';
import { layer } from './layer';
import { options } from './options';

const GATES = 3;

export default defineBlock({
  id: 'gru',
  role: 'mixer',
  title: 'GRU',
  paper: 'https://arxiv.org/abs/1406.1078',
  options,
  rules: recurrentProblems,
  causal: () => true,
  weights: (o, D) => recurrentWeights(o, D, GATES),
  state: (o, D) => ({ h: { shape: [hiddenWidth(o, D)] } }),
  // Kept of each token: three gates, what the state gives to the candidate, and the state.
  cost: (o, D, T) => recurrentCost(o, D, T, GATES, 5),
  layer,
});
