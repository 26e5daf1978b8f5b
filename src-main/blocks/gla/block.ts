// What the palette, the checker and the engine know of grouped latent attention.
import { defineBlock, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { groupProblems, widthProblems } from '../parts/head_rules';
import { cost, projections } from '../parts/latent';
import { layer } from './layer';
import { latentOf, options } from './options';

export default defineBlock({
  id: 'gla',
  role: 'mixer',
  title: 'Grouped latent attention (GLA)',
  paper: 'https://arxiv.org/abs/2505.21487',
  options,
  rules: (o, width, path) => [
    ...groupProblems(`${path}.latentHeads`, o.latentHeads, 'latent heads', o.heads),
    ...(o.headDim === 0 ? widthProblems(`${path}.heads`, o.heads, width, 'headDim') : []),
  ],
  causal: ({ causal }) => causal,
  weights(o, D) {
    const of = latentOf(o, D);
    const { H, G, r, rq, dN, dR, dV } = of;
    const columns = (H / G) * (dN + dV);
    const weights: Record<string, WeightSpec> = {
      ...projections(of, D),
      // Norms and biases, though they have a row a group: no decay, no orthogonal steps.
      kv_norm: { shape: [G, r], init: { kind: 'ones' }, decay: false, muon: false },
      w_ukv: { shape: [G, r, columns], init: { kind: 'normal', std: 0.02 } },
    };
    if (!o.projBias) return weights;
    const queries = rq > 0 ? { b_dq: [rq], b_uq: [H * (dN + dR)] } : { b_q: [H * (dN + dR)] };
    const biases = { ...queries, b_dkv: [G * r], b_kr: [dR], b_ukv: [G, columns] };
    for (const [name, shape] of Object.entries(biases))
      weights[name] = { shape, init: { kind: 'zeros' }, decay: false, muon: false };
    return weights;
  },
  state(o, D) {
    const { G, r, dR } = latentOf(o, D);
    return { c_kv: { shape: [G, 'T', r] }, k_rope: { shape: ['T', dR] } };
  },
  cost: (o, D, T) => cost(latentOf(o, D), D, T),
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        latentHeads: read.number('n_latent_heads'),
        headDim: read.number('head_dim'),
        latentDim: read.number('latent_dim'),
        ropeDim: read.number('rope_dim'),
        queryRank: read.number('q_lora_rank', 0),
        projBias: read.flag('proj_bias', false),
        causal: read.flag('causal', true),
        ropeTheta: read.number('rope_theta', 10_000),
        ropeFraction: read.number('rope_fraction', 1),
        normEps: read.number('norm_eps', 1e-6),
      },
    };
  },
});
