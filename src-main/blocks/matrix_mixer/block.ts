// What the palette, the checker and the engine know of the matrix mixer.
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { quasiseparableWeights } from '../parts/quasiseparable_weights';
import { divisorNear } from '../parts/sizes';
import { scanFlops } from '../ssd_scan/block';
import { layer } from './layer';
import { type MatrixMixerOptions, options, sizes } from './options';

function rules(o: MatrixMixerOptions, width: number, path: string): Problem[] {
  const { inner } = sizes(o, width);
  const problems: Problem[] = [];
  if (o.structure === 'dense' && o.dataDependent)
    problems.push({
      path: `${path}.dataDependent`,
      message: 'the data can’t make a dense matrix: it has no structure that a token could fill',
      hint: 'set dataDependent to false, or take another structure',
      fix: false,
    });
  if (o.dConv % 2 === 0)
    problems.push({
      path: `${path}.dConv`,
      message: `a centred convolution wants an odd number of taps, not ${o.dConv}`,
      hint: `try ${o.dConv + 1}`,
      fix: o.dConv + 1,
    });
  if (inner % o.headDim !== 0) {
    const fix = divisorNear(inner, o.headDim);
    const message = `heads of ${o.headDim} channels do not divide the inner width ${o.expand} × ${width} = ${inner}`;
    problems.push({ path: `${path}.headDim`, message, hint: `try ${fix}`, fix });
  }
  return problems;
}

/** The weights of the matrix itself, with the spreads that the released code gives them in its own layout. */
function ownWeights(o: MatrixMixerOptions, D: number): Record<string, WeightSpec> {
  const { inner, H, d, L } = sizes(o, D);
  const spread = (fans: number): Init => ({ kind: 'normal', std: Math.sqrt(2 / fans) });
  const tables = (init: Init): Record<string, WeightSpec> => ({
    q_pos: { shape: [L, H, d], init, muon: false },
    k_pos: { shape: [L, H, d], init, muon: false },
  });
  const pairs = o.dataDependent ? {} : tables(spread(d * (H + L)));
  switch (o.structure) {
    case 'dense':
      return { M: { shape: [H, L, L], init: spread(L * (L + H)), muon: false } };
    case 'toeplitz': {
      const count = 2 * L - 1;
      const init: Init = { kind: 'uniform', bound: Math.sqrt(6 / (count + H)) };
      return o.dataDependent ? {} : { taps: { shape: [H, count], init, muon: false } };
    }
    case 'vandermonde':
      // At zero, where the released code starts, learned waves have no gradient at all.
      return !o.dataDependent && o.vandermondeKind === 'learned' ? tables({ kind: 'normal', std: 0.1 }) : {};
    case 'cauchy':
      return o.dataDependent ? { bias: { shape: [1], init: { kind: 'drawn', value: () => 0.5 } } } : pairs;
    case 'low_rank':
    case 'attention':
      return pairs;
    case 'quasiseparable':
      return {
        ...quasiseparableWeights(H, inner),
        ...(!o.dataDependent && { BC: { shape: [L, 2 * H * d], init: spread(2 * H * d + L), muon: false } }),
      };
  }
}

/** FLOPs of the mixing of T tokens: making the matrix and multiplying with it, or what does without it. */
function mixingFlops(o: MatrixMixerOptions, D: number, T: number): { forward: number; backward: number } {
  const { inner, H, P, d } = sizes(o, D);
  const twice = (forward: number) => ({ forward, backward: 2 * forward });
  const product = 2 * T * T * inner;
  switch (o.structure) {
    case 'dense':
    case 'toeplitz':
      return twice(product);
    case 'vandermonde':
      return twice(product + (!o.dataDependent && o.vandermondeKind === 'dft' ? 0 : 4 * T * T * H * d));
    case 'cauchy':
      return twice(product + 4 * T * T * H * d);
    case 'low_rank':
      return twice(4 * T * H * d * P);
    case 'attention':
      return twice(product + 2 * T * T * H * d);
    case 'quasiseparable': {
      const scan = scanFlops({ H, P, G: 1, N: H * d }, T);
      const diagonal = 2 * T * inner * H;
      return { forward: 2 * scan.forward + diagonal, backward: 2 * (scan.backward + diagonal) };
    }
  }
}

/** Numbers that the mixing keeps for its gradient: values on their way through it, and the matrix with the steps that made it. */
function mixingKeeps(o: MatrixMixerOptions, D: number, T: number): number {
  const { inner, H, P, d, maps } = sizes(o, D);
  const product = 3 * T * inner;
  const matrices = (count: number) => product + count * H * T * T;
  switch (o.structure) {
    case 'dense':
      return matrices(2);
    case 'toeplitz':
      return matrices(5);
    case 'vandermonde':
      return matrices(!o.dataDependent && o.vandermondeKind === 'dft' ? 0 : 5);
    case 'cauchy':
      return matrices(2);
    case 'low_rank':
      return product + 2 * H * d * P;
    case 'attention':
      return o.dataDependent ? T * (inner + H) : matrices(3);
    case 'quasiseparable':
      return T * (10 * inner + 2 * maps + 10 * H) + 2 * (Math.ceil(T / 64) + 1) * inner * H * d;
  }
}

export default defineBlock({
  id: 'matrix_mixer',
  role: 'mixer',
  title: 'Matrix mixer',
  paper: 'https://arxiv.org/abs/2407.09941',
  options,
  rules,
  causal: () => false,
  weights(o, D) {
    const { inner, K, conv, columns } = sizes(o, D);
    const within = (fan: number): Init => ({ kind: 'uniform', bound: 1 / Math.sqrt(fan) });
    return {
      w_in: { shape: [D, columns], init: within(D) },
      conv_w: { shape: [K, conv], init: within(K), muon: false },
      conv_b: { shape: [conv], init: within(K) },
      ...ownWeights(o, D),
      norm_w: { shape: [inner], init: { kind: 'ones' } },
      w_out: { shape: [inner, D], init: within(inner) },
    };
  },
  cost(o, D, T) {
    const { inner, K, conv, columns } = sizes(o, D);
    const mixing = mixingFlops(o, D, T);
    const shell = T * (2 * D * (columns + inner) + 2 * K * conv + 14 * inner);
    // Kept: input and output, what is projected, what is convolved (three times), the sum, the norm; and what the mixing keeps.
    const savedNumbers = T * (2 * D + columns + 3 * conv + 2 * inner) + mixingKeeps(o, D, T);
    return {
      forwardFlops: shell + mixing.forward,
      backwardFlops: 2 * shell + mixing.backward,
      savedNumbers,
    };
  },
  layer,
  golden(given) {
    const read = config(given);
    const structure = read.choice('structure', options.structure.choices);
    const dataDependent = read.flag('data_dependent', structure !== 'dense');
    return {
      width: read.number('d_model'),
      options: {
        structure,
        dataDependent,
        qkDim: read.number('qk_dim', dataDependent ? 16 : 64),
        maxSeqLen: read.number('max_seq_len'),
        dConv: read.number('d_conv', 7),
        expand: read.number('expand', 2),
        headDim: read.number('headdim', 128),
        toeplitzIndex: read.choice('toeplitz_index', options.toeplitzIndex.choices, 'aligned'),
        vandermondeKind: read.choice('vandermonde_kind', options.vandermondeKind.choices, 'dft'),
        normEps: read.number('norm_eps', 1e-5),
      },
    };
  },
});
