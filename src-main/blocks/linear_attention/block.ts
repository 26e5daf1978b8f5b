// What the palette, the checker and the engine know of linear attention.
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type StateSpec, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { groupProblems, widthProblems } from '../parts/head_rules';
import { layer } from './layer';
import { type LinearAttentionOptions, options, sizes } from './options';

const matrix: Init = { kind: 'normal', std: 0.02 };

function rules(o: LinearAttentionOptions, width: number, path: string): Problem[] {
  const { H, Hk } = sizes(o, width);
  const problems = groupProblems(`${path}.kvHeads`, Hk, 'key heads', H);
  const follows = o.keyDim === 0 ? 'keyDim' : o.valueDim === 0 ? 'valueDim' : undefined;
  if (follows) problems.push(...widthProblems(`${path}.heads`, H, width, follows));
  if (o.normalize && o.featureMap === 'identity')
    problems.push({
      path: `${path}.normalize`,
      message: 'the sum of weights can be zero or negative when features are not positive (featureMap identity)',
      hint: 'set normalize to false and outputNorm to rmsnorm, or take featureMap elu1',
      fix: false,
    });
  return problems;
}

export default defineBlock({
  id: 'linear_attention',
  role: 'mixer',
  title: 'Linear attention',
  paper: 'https://arxiv.org/abs/2006.16236',
  options,
  rules,
  causal: () => true,
  weights(o, D) {
    const { H, Hk, d, e } = sizes(o, D);
    const weights: Record<string, WeightSpec> = {
      w_q: { shape: [D, H * d], init: matrix },
      w_k: { shape: [D, Hk * d], init: matrix },
      w_v: { shape: [D, Hk * e], init: matrix },
      w_o: { shape: [H * e, D], init: matrix },
    };
    if (o.outputNorm === 'rmsnorm') weights.norm_w = { shape: [e], init: { kind: 'ones' } };
    return weights;
  },
  state(o, D) {
    const { Hk, d, e } = sizes(o, D);
    const state: Record<string, StateSpec> = { kv: { shape: [Hk, d, e] } };
    if (o.normalize) state.z = { shape: [Hk, d] };
    return state;
  },
  // Matrix products only, as the spec counts them, in chunks of 64 with full squares; the sum of weights is one more channel of the values.
  cost(o, D, T) {
    const { H, Hk, d, e: width } = sizes(o, D);
    const e = width + Number(o.normalize);
    const Q = Math.min(64, T);
    const projections = 2 * D * (H * d + Hk * d + Hk * width) + 2 * H * width * D;
    const sums = 2 * H * Q * (d + e) + 2 * (Hk + H) * d * e;
    const forwardFlops = T * (projections + sums);
    // Kept: the input, queries and keys, values, the kernel's output, what divides it, and a state a chunk; where query heads share keys, each has a
    // copy beside the features themselves.
    const [q, k] = [H * d, Hk * d];
    const features = o.featureMap === 'elu1' && H > Hk ? k : 0;
    const read = H > Hk ? H * (d + e) : k + Hk * e;
    const divided = o.normalize ? 2 * H * width + H : H * width;
    const normed = o.outputNorm === 'rmsnorm' ? H * (width + 1) : 0;
    const states = Math.ceil(T / 64) * H * d * e;
    const savedNumbers = T * (D + features + q + read + divided + normed) + states;
    const workingNumbers = T * (D + H * (d + e + Math.max(d, e)));
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, workingNumbers };
  },
  layer,
  golden(given) {
    const read = config(given);
    const heads = read.number('n_heads');
    const width = read.number('d_model');
    return {
      width,
      options: {
        heads,
        kvHeads: read.number('n_kv_heads', heads),
        keyDim: read.number('d_k', width / heads),
        valueDim: read.number('d_v', width / heads),
        featureMap: read.choice('feature_map', options.featureMap.choices, 'elu1'),
        normalize: read.flag('normalize', true),
        denomEps: read.number('denom_eps', 1e-10),
        scale: read.number('scale', 0),
        outputNorm: read.choice('output_norm', options.outputNorm.choices, 'none'),
        normEps: read.number('norm_eps', 1e-5),
      },
    };
  },
});
