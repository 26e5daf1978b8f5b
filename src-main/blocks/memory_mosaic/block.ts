// What the palette, the checker and the engine know of the contextual memory of Memory Mosaics.
import { defineBlock } from '../define';
import { config } from '../parts/golden';
import { biases, headProblems, keyWeights, outputWeights, scalarOfHead } from '../parts/memory_options';
import { layer } from './layer';
import { options } from './options';

export default defineBlock({
  id: 'memory_mosaic',
  role: 'mixer',
  title: 'Contextual memory',
  paper: 'https://arxiv.org/abs/2405.06394',
  options,
  rules: ({ heads }, width, path) => headProblems(heads, width, path),
  causal: () => true,
  weights: ({ heads: H, rawScaling, bias }, D) => ({
    ...keyWeights(H, D, rawScaling),
    w_v: { shape: [D, D], init: { kind: 'normal', std: 0.02 } },
    val_mix: { shape: [H], init: { kind: 'drawn', value: (draw) => draw.uniform() }, decay: false },
    val_scale: scalarOfHead(H, -0.5 / rawScaling),
    ...outputWeights(D),
    ...(bias && biases(['k', 'v', 'o'], D)),
  }),
  // Of T tokens T−1 have their value; the last one's place is taken by its raw value, which waits for its successor.
  state: ({ heads: H }, D) => ({
    keys: { shape: [H, 'T', D / H] },
    values: { shape: [H, 'T', D / H], behind: 1 },
    v_last: { shape: [H, D / H] },
    leak_sum: { shape: [H, D / H] },
  }),
  cost({ heads: H }, D, T) {
    const pairs = (T * (T - 1)) / 2;
    const matrices = 6 * D * D * T + 4 * D * pairs;
    const elementwise = 5 * H * pairs + 12 * D * T;
    // Kept: the input, raw keys and values, keys and values, the recalled values, and a log-sum-exp a row.
    const savedNumbers = T * (6 * D + H);
    const forwardFlops = matrices + elementwise;
    // Held at the most: the slopes of the block's output, of what is recalled, and of keys as queries, keys and values.
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, workingNumbers: T * 5 * D };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        bias: read.flag('bias', false),
        rawScaling: read.number('raw_scaling', 10),
        normEps: read.number('norm_eps', 1e-10),
      },
    };
  },
});
