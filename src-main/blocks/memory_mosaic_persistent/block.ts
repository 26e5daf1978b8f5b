// What the palette, the checker and the engine know of the persistent memory of Memory Mosaics.
import { defineBlock, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { biases, headProblems, keyWeights, outputWeights, scalarOfHead } from '../parts/memory_options';
import { layer } from './layer';
import { options, sizes } from './options';

export default defineBlock({
  id: 'memory_mosaic_persistent',
  role: 'mixer', // through its keys, which sum up past tokens
  title: 'Persistent memory',
  paper: 'https://arxiv.org/abs/2405.06394',
  options,
  rules: ({ heads }, width, path) => headProblems(heads, width, path),
  causal: () => true,
  weights(o, D) {
    const { H, d, N, P } = sizes(o, D);
    const stored: WeightSpec = { shape: [P, H, N, d], init: { kind: 'normal', std: 1 / Math.sqrt(d) }, muon: false };
    return {
      ...keyWeights(H, D, o.rawScaling),
      mem_k: stored,
      mem_v: stored,
      out_scale: scalarOfHead(H, -0.5 / o.rawScaling),
      ...outputWeights(D),
      ...(o.bias && biases(['k', 'o'], D)),
    };
  },
  state: ({ heads: H }, D) => ({ leak_sum: { shape: [H, D / H] } }),
  cost(o, D, T) {
    const { H, N, P } = sizes(o, D);
    const forwardFlops = T * (4 * D * D + P * (4 * N * D + 5 * H * N) + 8 * D);
    // Kept: the input, raw keys and keys, what asks where there are several memories, their answers with a log-sum-exp a row, and the sum of them.
    const several = P > 1 ? P : 0;
    const savedNumbers = T * ((3 + P + several) * D + P * H);
    // Of all sequences: the stored pairs, turned, and the keys scaled.
    // Held at the most: the slopes of each memory's answers and of what asks it.
    const workingNumbers = T * Math.max(3, 2 * P) * D;
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, savedOnce: 3 * N * P * D, workingNumbers };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        slots: read.number('n_slots'),
        memories: read.number('n_memories', 1),
        bias: read.flag('bias', false),
        rawScaling: read.number('raw_scaling', 10),
        normEps: read.number('norm_eps', 1e-10),
      },
    };
  },
});
