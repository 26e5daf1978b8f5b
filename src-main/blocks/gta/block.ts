// What the palette, the checker and the engine know of grouped-tied attention.
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { groupProblems, widthProblems } from '../parts/head_rules';
import { layer } from './layer';
import { type GtaOptions, options, sizes } from './options';

const matrix: Init = { kind: 'normal', std: 0.02 };

/** The tied part of a head needs a channel besides the rotary ones. */
function tiedProblems(o: GtaOptions, width: number, path: string): Problem[] {
  const { d, dR } = sizes(o, width);
  if (dR < d) return [];
  const message = `${dR} rotary channels leave nothing of a head of ${d} to be tied`;
  // The largest even number below d, where there is one; else the head is too narrow.
  const fix = 2 * Math.ceil(d / 2) - 2;
  if (fix >= 2 && o.ropeDim > 0) return [{ path: `${path}.ropeDim`, message, hint: `try ${fix}`, fix }];
  return [{ path: `${path}.headDim`, message, hint: `try ${dR + 2}`, fix: dR + 2 }];
}

export default defineBlock({
  id: 'gta',
  role: 'mixer',
  title: 'Grouped-tied attention (GTA)',
  paper: 'https://arxiv.org/abs/2505.21487',
  options,
  rules(o, width, path) {
    const { H, Hk } = sizes(o, width);
    const divided = o.headDim === 0 ? widthProblems(`${path}.heads`, H, width, 'headDim') : [];
    return [
      ...groupProblems(`${path}.kvHeads`, Hk, 'tied heads', H),
      ...(divided.length ? divided : tiedProblems(o, width, path)),
    ];
  },
  causal: ({ causal }) => causal,
  weights(o, D) {
    const { H, Hk, d, dR } = sizes(o, D);
    const weights: Record<string, WeightSpec> = {
      w_q: { shape: [D, H * d], init: matrix },
      w_kv: { shape: [D, Hk * d], init: matrix },
      w_kr: { shape: [D, dR], init: matrix },
      w_o: { shape: [H * d, D], init: matrix },
    };
    if (o.ropeKeyBias) weights.b_kr = { shape: [dR], init: { kind: 'zeros' } };
    return weights;
  },
  state(o, D) {
    const { Hk, d, dR } = sizes(o, D);
    return { kv_cache: { shape: [Hk, 'T', d] }, k_rope: { shape: ['T', dR] } };
  },
  // Matrix products only, as the spec counts them; a causal map needs half the square and its diagonal.
  cost(o, D, T) {
    const { H, Hk, d, dR } = sizes(o, D);
    const pairs = o.causal ? (T * (T + 1)) / 2 : T * T;
    const forwardFlops = 2 * T * D * (2 * H * d + Hk * d + dR) + 4 * pairs * H * d;
    // Kept: the input, q, the tied states, the rotary key, the output of the heads, and a log-sum-exp a row.
    // Held at the most: the slopes of the block's output, of the heads', of q, of the tied states and of the rotary key.
    const workingNumbers = T * Math.max(3 * D, D + 2 * H * d + Hk * d + dR);
    const savedNumbers = T * (D + 2 * H * d + Hk * d + dR + H);
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, workingNumbers };
  },
  layer,
  golden(given) {
    const read = config(given);
    return {
      width: read.number('d_model'),
      options: {
        heads: read.number('n_heads'),
        kvHeads: read.number('n_kv_heads'),
        headDim: read.number('head_dim'),
        ropeDim: read.number('rope_dim'),
        ropeKeyBias: read.flag('rope_key_bias', false),
        causal: read.flag('causal', true),
        ropeTheta: read.number('rope_theta', 10_000),
        ropeFraction: read.number('rope_fraction', 1),
      },
    };
  },
});
