// What the palette, the checker and the engine know of the atlas layer.
import { segmentStarts } from '../../../kernels/atlas-memory/kernel';
import type { Problem } from '../../spec/error';
import { memoryConfig, memoryFlops } from '../atlas_memory/block';
import { coefficients, featureWidth, matrixSizes } from '../atlas_memory/options';
import { defineBlock, type Init, type StateSpec, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { widthProblems } from '../parts/head_rules';
import { layer } from './layer';
import { type AtlasOptions, options, sizes } from './options';

/** Outputs as large as inputs, whatever the width. */
const from = (inputs: number): Init => ({ kind: 'normal', std: 1 / Math.sqrt(inputs) });
const constant = (value: number): Init => ({ kind: 'drawn', value: () => value });

/** Starting biases of the gates: memories are kept, steps small. */
const GATES = { alpha: 4, eta: -1, theta: 0.5, gamma: 1 };

const factorial = (n: number): number => (n > 1 ? n * factorial(n - 1) : 1);
/** Starting coefficient at `index` of the polynomial. Taylor: those of e^(x·y), as products of features or entry by entry. */
function coefficient({ featureMap, start }: AtlasOptions, index: number): number {
  const power = featureMap === 'monomial' ? index : index + 1;
  if (start === 'flat') return power === 0 ? 0 : 1;
  return featureMap === 'monomial' ? 1 / Math.sqrt(factorial(power)) : 1 / factorial(power);
}

/** Numbers kept of the features of one key or query of width d: each step of the polynomial, or the products and their way into one row. */
function featuresKeep({ featureMap, degree }: AtlasOptions, d: number): number {
  if (featureMap === 'none') return 0;
  if (featureMap === 'elementwise') return degree * d;
  return featureWidth({ featureMap, degree }, d) + (degree > 1 ? d * (d + 1) + d : 0);
}

function rules(o: AtlasOptions, width: number, path: string): Problem[] {
  const problems = o.headDim === 0 ? widthProblems(`${path}.heads`, o.heads, width, 'headDim') : [];
  if (o.featureMap === 'monomial' && o.degree > 2)
    problems.push({
      path: `${path}.degree`,
      message: `products of ${o.degree} channels are not offered: monomial features go up to degree 2`,
      hint: 'try 2, or elementwise features',
      fix: 2,
    });
  return problems;
}

export default defineBlock({
  id: 'atlas',
  role: 'mixer',
  title: 'ATLAS',
  paper: 'https://arxiv.org/abs/2505.23735',
  options,
  rules,
  causal: () => true,
  weights(o, D) {
    const { H, d, inner, F, h, K } = sizes(o, D);
    const weights: Record<string, WeightSpec> = {};
    for (const name of ['q', 'k', 'v']) {
      weights[`w_${name}`] = { shape: [D, inner], init: from(D) };
      if (K > 0)
        weights[`conv_${name}`] = {
          shape: [K, inner],
          init: { kind: 'uniform', bound: 1 / Math.sqrt(K) },
          muon: false,
        };
    }
    for (const [name, bias] of Object.entries(GATES)) {
      weights[`w_${name}`] = { shape: [D, H], init: { kind: 'zeros' } };
      weights[`b_${name}`] = { shape: [H], init: constant(bias), decay: false };
    }
    const terms = coefficients(o);
    if (terms > 0)
      weights.poly_coef = { shape: [terms], init: { kind: 'drawn', value: (_, i) => coefficient(o, i) }, decay: false };
    const [first, second] = matrixSizes(o.memory, F, h, d);
    weights.mem_w1 = { shape: [H, ...first], init: second ? from(F) : { kind: 'zeros' }, muon: false };
    if (second) weights.mem_w2 = { shape: [H, ...second], init: from(h), muon: false };
    weights.norm_w = { shape: [inner], init: { kind: 'ones' } };
    weights.w_g = { shape: [D, inner], init: from(D) };
    weights.w_o = { shape: [inner, D], init: { kind: 'normal', std: 1 / Math.sqrt(inner), branch: true } };
    return weights;
  },
  state(o, D) {
    const { H, d, inner, F, h, K } = sizes(o, D);
    const state: Record<string, StateSpec> = {};
    for (const [i, sides] of matrixSizes(o.memory, F, h, d).entries())
      for (const name of o.chunk > 1 ? ['w', 's', 'anchor'] : ['w', 's'])
        state[`${name}${i + 1}`] = { shape: [H, ...sides] };
    if (o.window > 1) {
      const most = o.window - 1;
      state.win_k = { shape: [H, 'T', d], most };
      state.win_v = { shape: [H, 'T', d], most };
      state.win_gamma = { shape: [H, 'T'], most };
    }
    if (K > 1) for (const name of ['q', 'k', 'v']) state[`in_${name}`] = { shape: [K - 1, inner] };
    return state;
  },
  cost(o, D, T) {
    const { H, d, inner, F, h, K } = sizes(o, D);
    const memory = memoryFlops(o, { F, h, d }, T);
    const inside = H * (memory.products + memory.elementwise);
    const around = T * (10 * D * inner + 8 * D * H + 6 * K * inner);
    // The steps of the memory are made again in the gradient. Kept: the input; queries, keys and values before the convolution, by heads, and the
    // first two at unit length; what their features are made of; gates; the memory's output, its gate and norm; the memory a segment, in doubles.
    const states = 4 * segmentStarts(o.chunk, T).length * H * memory.P;
    return {
      forwardFlops: around + inside,
      backwardFlops: 2 * around + 3 * inside,
      savedNumbers: T * (D + 11 * inner + 10 * H + 2 * H * featuresKeep(o, d)) + states,
      workingNumbers: T * (D + 4 * inner + 2 * H * F),
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    const headDim = read.number('head_dim', 0);
    return {
      width: read.number('d_model'),
      options: {
        ...memoryConfig(given),
        heads: read.number('n_heads'),
        headDim,
        hidden: read.number('d_hidden', 0),
        start: 'flat' as const,
        convSize: read.number('conv_size', 4),
        etaMax: read.number('eta_max', 0.1),
        normEps: read.number('norm_eps', 1e-5),
        l2Eps: read.number('l2_eps', 1e-6),
      },
    };
  },
});
