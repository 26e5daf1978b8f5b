// What the palette, the checker and the engine know of dropout.
import { defineBlock } from '../define';
import { layer } from './layer';
import { options } from './options';

export default defineBlock({
  id: 'dropout',
  role: 'channel',
  title: 'Dropout',
  paper: 'https://arxiv.org/abs/1207.0580',
  options,
  // It works on the stream itself: what it drops is gone for all that follows.
  usual: { norm: 'none', residual: false },
  causal: () => true,
  random: ({ rate }) => rate > 0,
  weights: () => ({}),
  state: () => ({}),
  // Kept for the backward pass: nothing, since the mask is drawn again.
  cost: (_, D, T) => ({
    forwardFlops: 0,
    backwardFlops: 0,
    savedNumbers: 0,
    savedHalves: 0,
    workingNumbers: 2 * T * D,
  }),
  layer,
});
