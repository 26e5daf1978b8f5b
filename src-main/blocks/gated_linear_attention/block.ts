// What the palette, the checker and the engine know of gated linear attention.
import { segment } from '../../../kernels/gated-linear-scan/kernel';
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type StateSpec, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { groupProblems, widthProblems } from '../parts/head_rules';
import { layer } from './layer';
import { branches, FREE, type GatedLinearAttentionOptions, options, sizes } from './options';
import { CHUNK } from './reference';

const drawn: Init = { kind: 'normal', std: 0.02 };
const zeros: Init = { kind: 'zeros' };

function rules(o: GatedLinearAttentionOptions, width: number, path: string): Problem[] {
  const { H, Hk } = sizes(o, width);
  const problems = groupProblems(`${path}.kvHeads`, Hk, 'key heads', H);
  if (o.keyDim === 0) problems.push(...widthProblems(`${path}.heads`, H, width, 'keyDim', 2));
  else if (o.valueDim === 0) problems.push(...widthProblems(`${path}.heads`, H, width, 'valueDim'));
  return problems;
}

export default defineBlock({
  id: 'gated_linear_attention',
  role: 'mixer',
  title: 'Gated linear attention',
  paper: 'https://arxiv.org/abs/2312.06635',
  options,
  rules,
  causal: () => true,
  weights(o, D) {
    const size = sizes(o, D);
    const { H, Hk, d, e, R, K } = size;
    const weights: Record<string, WeightSpec> = {
      w_q: { shape: [D, H * d], init: drawn },
      w_k: { shape: [D, Hk * d], init: drawn },
      w_v: { shape: [D, Hk * e], init: drawn },
      w_gk1: { shape: [D, R], init: drawn },
      w_gk2: { shape: [R, Hk * d], init: drawn },
      b_gk2: { shape: [Hk * d], init: zeros },
    };
    if (o.outputGate) weights.w_g = { shape: [D, H * e], init: drawn };
    if (K > 0)
      for (const [name, channels] of Object.entries(branches(size))) {
        weights[`conv_${name}`] = { shape: [K, channels], init: drawn, muon: false };
        if (o.convBias) weights[`conv_b_${name}`] = { shape: [channels], init: zeros };
      }
    weights.norm_w = { shape: [e], init: { kind: 'ones' } };
    weights.w_o = { shape: [H * e, D], init: drawn };
    return weights;
  },
  state(o, D) {
    const size = sizes(o, D);
    const { Hk, d, e, K } = size;
    const state: Record<string, StateSpec> = { kv: { shape: [Hk, d, e] } };
    if (K > 1)
      for (const [name, channels] of Object.entries(branches(size)))
        state[`conv_${name}`] = { shape: [K - 1, channels] };
    return state;
  },
  cost(o, D, T) {
    const size = sizes(o, D);
    const { H, Hk, d, e, R, K } = size;
    const Q = Math.min(CHUNK, T);
    const convolved = Object.values(branches(size)).reduce((sum, channels) => sum + channels, 0); // of q, k and v
    const gate = Number(o.outputGate) * H * e;
    const matrices = 2 * D * (convolved + gate + R) + 2 * R * Hk * d + 2 * H * e * D;
    // In chunks: a multiplication a pair for the decays of the keys, the products within, and the state's in and out.
    const scan = Q * Hk * d + 2 * H * Q * (d + e) + 2 * (Hk + H) * d * e;
    const forwardFlops = T * (matrices + 2 * K * convolved + scan);
    // Kept: the input, the branches (before the convolution too), the rank of the decays and their logarithm, the output, its gate and its
    // norm; and a state a segment.
    const branch = (K ? 2 : 1) * convolved + R + Hk * d;
    const out = 2 * H * e + H + gate;
    const states = Math.ceil(T / segment) * Hk * d * e;
    const savedNumbers = T * (D + branch + out) + states;
    const workingNumbers = T * (D + H * (d + 2 * e) + 2 * Hk * d);
    return {
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      savedNumbers,
      savedHalves: T * (D + H * e),
      workingNumbers,
    };
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
        keyDim: read.number('d_k', width / heads / 2),
        valueDim: read.number('d_v', width / heads),
        gateRank: read.number('gate_low_rank_dim', 16),
        gateNormalizer: read.number('gate_logit_normalizer', 16),
        gateClampMin: read.number('gate_clamp_min', FREE),
        outputGate: read.flag('use_output_gate', true),
        convSize: read.number('conv_size', 0),
        convBias: read.flag('conv_bias', false),
        scale: read.number('scale', 0),
        normEps: read.number('norm_eps', 1e-5),
      },
    };
  },
});
