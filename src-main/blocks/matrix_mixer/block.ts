// What the palette, the checker and the engine know of the matrix mixer.
import { wholeIsLess } from '../../../kernels/ssd-scan/kernel';
import type { Problem } from '../../spec/error';
import { defineBlock, type Init, type WeightSpec } from '../define';
import { config } from '../parts/golden';
import { quasiseparableWeights } from '../parts/quasiseparable_weights';
import { divisorNear } from '../parts/sizes';
import { scanFlops } from '../ssd_scan/block';
import { layer } from './layer';
import { type MatrixMixerOptions, options, sizes, tooLong } from './options';

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
      // Fourier's matrix is a constant, so it has no gradient.
      if (!o.dataDependent && o.vandermondeKind === 'dft') return { forward: product, backward: product };
      return twice(product + 4 * T * T * H * d);
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

/**
 * Numbers that the mixing keeps for its gradient, of each sequence and of all together: values on their way through it, and the matrix with what
 * it is made of, where that depends on the data.
 */
function mixingKeeps(o: MatrixMixerOptions, D: number, T: number): { each: number; once: number } {
  const { inner, H, P, d } = sizes(o, D);
  const made = (steps: number, matrix = H * T * T): { each: number; once: number } => {
    const own = T * steps * H * d + matrix;
    return o.dataDependent ? { each: T * inner + own, once: 0 } : { each: T * inner, once: own };
  };
  switch (o.structure) {
    case 'dense':
    case 'toeplitz':
      return made(0);
    case 'vandermonde':
      return !o.dataDependent && o.vandermondeKind === 'dft' ? { each: 0, once: 0 } : made(2);
    case 'cauchy':
      return made(5);
    case 'low_rank': {
      const { each, once } = made(2, 0);
      return { each: each + H * d * P, once };
    }
    case 'attention':
      return o.dataDependent ? { each: T * (2 * inner + 2 * H * d + H), once: 0 } : made(2);
    case 'quasiseparable': {
      const states = wholeIsLess({ T, P, N: H * d, perGroup: H }) ? 0 : 2 * Math.ceil(T / 64) * inner * H * d;
      return { each: T * (inner + 4 * H * d + 5 * H) + states, once: 0 };
    }
  }
}

/** Numbers that the mixing's backward pass holds beside what is kept: of a matrix, its slope and a step on the way to it. */
function mixingWorks(o: MatrixMixerOptions, D: number, T: number): number {
  const { inner, H } = sizes(o, D);
  const matrix = o.dataDependent && ['toeplitz', 'vandermonde', 'cauchy'].includes(o.structure);
  return T * 2 * inner + (matrix ? H * T * T : 0);
}

export default defineBlock({
  id: 'matrix_mixer',
  role: 'mixer',
  title: 'Matrix mixer',
  paper: 'https://arxiv.org/abs/2407.09941',
  options,
  rules,
  fits: (o, { tokens }, path) => tooLong(o, tokens, path),
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
    // Kept: the input, z, what is convolved, the mixed values and their norm; and what the mixing keeps. Of all sequences: split taps.
    const kept = mixingKeeps(o, D, T);
    return {
      forwardFlops: shell + mixing.forward,
      backwardFlops: 2 * shell + mixing.backward,
      savedNumbers: T * (D + 3 * inner + 1) + T * conv + kept.each,
      savedOnce: (K + 1) * conv + kept.once,
      savedHalves: T * (D + inner),
      workingNumbers: T * (D + inner) + mixingWorks(o, D, T),
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
