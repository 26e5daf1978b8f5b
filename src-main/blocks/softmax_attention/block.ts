// What the palette, the checker and the engine know of softmax attention.
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type StateSpec, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { divisorNear } from '../parts/sizes';
import { layer } from './layer';
import { type AttentionOptions, options, sizes } from './options';

const matrix: Init = { kind: 'normal', std: 0.02 };

/** Pairs of a query and a key that meet among T tokens. */
function pairsOf({ causal, window }: AttentionOptions, T: number): number {
  const w = window > 0 ? Math.min(window, T) : T;
  const past = (w * (w + 1)) / 2 + (T - w) * w; // the token itself and those before it
  return causal ? past : 2 * past - T;
}

function rules(o: AttentionOptions, width: number, path: string): Problem[] {
  const problems: Problem[] = [];
  const { H, Hk, d } = sizes(o, width);
  if (H % Hk !== 0)
    problems.push({
      path: `${path}.kvHeads`,
      message: `${Hk} key heads do not divide ${H} query heads`,
      hint: `try ${divisorNear(H, Hk)}`,
      fix: divisorNear(H, Hk),
    });
  if (o.headDim === 0 && width % H !== 0)
    problems.push({
      path: `${path}.heads`,
      message: `${H} heads do not divide the width ${width}, and headDim 0 asks for width / heads`,
      hint: `try ${divisorNear(width, H)} heads, or set headDim`,
      fix: divisorNear(width, H),
    });
  else if (d % 2 !== 0 && o.ropeFraction > 0)
    problems.push({
      path: `${path}.headDim`,
      message: `rotary positions turn pairs of channels, so they want an even head width, not ${d}`,
      hint: `try ${d + 1}, or ropeFraction 0`,
      fix: d + 1,
    });
  if (o.alibi && o.ropeFraction > 0)
    problems.push({
      path: `${path}.ropeFraction`,
      message: 'ALiBi takes the place of rotary positions, and both are on',
      hint: 'try 0, or switch alibi off',
      fix: 0,
    });
  return problems;
}

export default defineBlock({
  id: 'softmax_attention',
  role: 'mixer',
  title: 'Softmax attention',
  paper: 'https://arxiv.org/abs/1706.03762',
  options,
  rules,
  causal: ({ causal }) => causal,
  weights(o, D) {
    const { H, Hk, d } = sizes(o, D);
    const weights: Record<string, WeightSpec> = {
      w_q: { shape: [D, H * d], init: matrix },
      w_k: { shape: [D, Hk * d], init: matrix },
      w_v: { shape: [D, Hk * d], init: matrix },
      w_o: { shape: [H * d, D], init: matrix },
    };
    if (o.qkvBias)
      for (const [name, n] of Object.entries({ q: H, k: Hk, v: Hk }))
        weights[`b_${name}`] = { shape: [n * d], init: { kind: 'zeros' } };
    if (o.qkNorm) for (const name of ['q_norm', 'k_norm']) weights[name] = { shape: [d], init: { kind: 'ones' } };
    if (o.sinks) weights.sinks = { shape: [H], init: { kind: 'zeros' } };
    return weights;
  },
  state(o, D) {
    const { Hk, d } = sizes(o, D);
    const cache: StateSpec = { shape: [Hk, 'T', d], ...(o.window > 0 && { most: o.window }) };
    return { k_cache: cache, v_cache: cache };
  },
  // Matrix products only, as the spec counts them; a causal map needs half the square and its diagonal, a window its band.
  cost(o, D, T) {
    const { H, Hk, d } = sizes(o, D);
    const forwardFlops = 4 * T * D * d * (H + Hk) + 4 * pairsOf(o, T) * H * d;
    // Kept: the input, q, k, v, the output of the heads, and a log-sum-exp a row, and q and k before their norms with a factor a head; the map is
    // made again. Held at the most: the slopes of the block's output, of the heads' and of q, k and v.
    const normed = o.qkNorm ? (H + Hk) * (d + 1) : 0;
    const savedNumbers = T * (D + 2 * H * d + 2 * Hk * d + H + normed);
    const workingNumbers = T * Math.max(3 * D, D + 2 * H * d + 2 * Hk * d);
    const workingHalves = o.qkvBias ? 0 : T * (H + 2 * Hk) * d; // slopes that the maps alone read
    return { forwardFlops, backwardFlops: 2 * forwardFlops, savedNumbers, workingNumbers, workingHalves };
  },
  layer,
  golden(given) {
    const read = config(given);
    const heads = read.number('n_heads');
    return {
      width: read.number('d_model'),
      options: {
        heads,
        kvHeads: read.number('n_kv_heads', heads),
        headDim: read.number('head_dim', 0),
        causal: read.flag('causal', true),
        ropeTheta: read.number('rope_theta', 10_000),
        ropeFraction: read.number('rope_fraction', 1),
        qkNorm: read.flag('qk_norm', false),
        normEps: read.number('norm_eps', 1e-6),
        qkvBias: read.flag('qkv_bias', false),
        adaptiveTemperature: read.flag('adaptive_temperature', false),
        alibi: read.flag('alibi', false),
        window: read.number('window', 0),
        sinks: read.flag('sinks', false),
        softCap: read.number('soft_cap', 0),
      },
    };
  },
});
