// What the palette, the checker and the engine know of differential attention.
import type { Problem } from '../../spec/error';
import { defineBlock, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { groupProblems, widthProblems } from '../parts/head_rules';
import { layer } from './layer';
import { countLayers, type DifferentialOptions, options, sizes } from './options';

/** As the published module starts; its language-model recipes draw from N(0, 0.02²) instead. */
const matrix = (rows: number, columns: number): WeightSpec => ({
  shape: [rows, columns],
  init: { kind: 'uniform', bound: 1 / Math.sqrt(rows) },
});

function rotaryProblems(o: DifferentialOptions, width: number, path: string): Problem[] {
  const { d } = sizes(o, width);
  if (d % 2 === 0 || o.ropeFraction === 0) return [];
  const message = `rotary positions turn pairs of channels, so they want an even component width, not ${d}`;
  return [{ path: `${path}.headDim`, message, hint: `try ${d + 1}, or ropeFraction 0`, fix: d + 1 }];
}

export default defineBlock({
  id: 'differential_attention',
  role: 'mixer',
  title: 'Differential attention',
  paper: 'https://arxiv.org/abs/2410.05258',
  options,
  rules(o, width, path) {
    const { H, Hk } = sizes(o, width);
    const divided = o.headDim === 0 ? widthProblems(`${path}.heads`, H, width, 'headDim', 2) : [];
    return [
      ...groupProblems(`${path}.kvHeads`, Hk, 'key heads', H),
      ...(divided.length ? divided : rotaryProblems(o, width, path)),
    ];
  },
  placed: countLayers,
  causal: ({ causal }) => causal,
  weights(o, D) {
    const { H, Hk, d } = sizes(o, D);
    const weights: Record<string, WeightSpec> = {
      w_q: matrix(D, 2 * H * d),
      w_k: matrix(D, 2 * Hk * d),
      w_v: matrix(D, 2 * Hk * d),
      w_o: matrix(2 * H * d, D),
    };
    for (const name of ['lambda_q1', 'lambda_k1', 'lambda_q2', 'lambda_k2'])
      weights[name] = { shape: [d], init: { kind: 'normal', std: 0.1 } };
    weights.head_norm = { shape: [2 * d], init: { kind: 'ones' } };
    return weights;
  },
  state(o, D) {
    const { Hk, d } = sizes(o, D);
    return { k_cache: { shape: [2 * Hk, 'T', d] }, v_cache: { shape: [Hk, 'T', 2 * d] } };
  },
  // Matrix products only, the maps subtracted before they meet the values; a causal map needs half the square and its diagonal.
  cost(o, D, T) {
    const { H, Hk, d } = sizes(o, D);
    const pairs = o.causal ? (T * (T + 1)) / 2 : T * T;
    const forwardFlops = 8 * T * D * d * (H + Hk) + 8 * pairs * H * d;
    // Kept: the input, q, k, v, what each map reads of the values with a log-sum-exp a row, and the normed difference.
    const saved = D + 2 * H * d + 4 * Hk * d + 2 * (2 * H * d + H) + 2 * H * d;
    // Held at the most: the slopes of the block's output and of q, k and v; those of the normed difference take its place.
    const workingNumbers = T * Math.max(3 * D, D + 2 * H * d + 4 * Hk * d);
    return {
      forwardFlops,
      backwardFlops: 2 * forwardFlops,
      savedNumbers: T * saved,
      savedHalves: T * (D + 2 * H * d),
      workingNumbers,
    };
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
        layerIndex: read.number('layer_index'),
        lambdaInit: 0, // `lambda_init` of a case is derived from layer_index
        causal: read.flag('causal', true),
        ropeTheta: read.number('rope_theta', 10_000),
        ropeFraction: read.number('rope_fraction', 1),
        normEps: read.number('norm_eps', 1e-5),
      },
    };
  },
});
