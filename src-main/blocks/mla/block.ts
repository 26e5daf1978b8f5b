// What the palette, the checker and the engine know of multi-head latent attention.
import { defineBlock } from '../define';
import { config } from '../parts/golden';
import { widthProblems } from '../parts/head_rules';
import { cost, projections } from '../parts/latent';
import { layer } from './layer';
import { latentOf, options } from './options';

export default defineBlock({
  id: 'mla',
  role: 'mixer',
  title: 'Multi-head latent attention',
  paper: 'https://arxiv.org/abs/2405.04434',
  options,
  rules: (o, width, path) => (o.nopeDim === 0 ? widthProblems(`${path}.heads`, o.heads, width, 'nopeDim') : []),
  causal: ({ causal }) => causal,
  weights(o, D) {
    const of = latentOf(o, D);
    const { H, r, dN, dV } = of;
    return {
      ...projections(of, D),
      kv_norm: { shape: [r], init: { kind: 'ones' } },
      w_ukv: { shape: [r, H * (dN + dV)], init: { kind: 'normal', std: 0.02 } },
    };
  },
  state(o, D) {
    const { r, dR } = latentOf(o, D);
    return { c_kv: { shape: ['T', r] }, k_rope: { shape: ['T', dR] } };
  },
  cost: (o, D, T) => cost(latentOf(o, D), D, T),
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        kvRank: read.number('kv_lora_rank'),
        queryRank: read.number('q_lora_rank', 0),
        nopeDim: read.number('qk_nope_head_dim'),
        ropeDim: read.number('qk_rope_head_dim'),
        valueDim: read.number('v_head_dim'),
        causal: read.flag('causal', true),
        ropeTheta: read.number('rope_theta', 10_000),
        ropeFraction: read.number('rope_fraction', 1),
        normEps: read.number('norm_eps', 1e-6),
      },
    };
  },
});
