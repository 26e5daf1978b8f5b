// The matrix mixer: golden cases, each matrix against its formula in float64, products, lengths and rules.
import { describe, expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { prepare, productFlops } from '../../../test/suites/sequence';
import { inspect } from '../../engine/cost';
import { relativeError } from '../../engine/parity';
import { tf, withReference } from '../../ops';
import { MODEL_FORMAT } from '../../spec/model';
import { complete } from '../../spec/options';
import { scanFlops } from '../ssd_scan/block';
import block from './block';
import * as matrices from './matrices';
import { type MatrixMixerOptions, sizes } from './options';
import { dips } from './waves';

const options = (given: object) => complete(block.options, given as Record<string, unknown>) as MatrixMixerOptions;

const maps = (b: number, T: number, H: number, d: number, scale = 1): matrices.Maps => ({
  q: noise([b, T, H, d], 'q', scale) as tf.Tensor4D,
  k: noise([b, T, H, d], 'k', scale) as tf.Tensor4D,
});
/** The entries of a matrix [1, 1, T, T] by a formula in float64. */
const table = (T: number, entry: (i: number, j: number) => number) =>
  Float64Array.from({ length: T * T }, (_, n) => entry(Math.floor(n / T), n % T));

/** Every structure, made by the data and not. */
const VARIANTS: Partial<MatrixMixerOptions>[] = [
  { structure: 'dense', dataDependent: false },
  ...(['toeplitz', 'vandermonde', 'cauchy', 'low_rank', 'attention', 'quasiseparable'] as const).flatMap(
    (structure) => [
      { structure, dataDependent: true },
      { structure, dataDependent: false },
    ],
  ),
  { structure: 'vandermonde', dataDependent: false, vandermondeKind: 'learned' },
  { structure: 'toeplitz', dataDependent: true, toeplitzIndex: 'reference' },
];
const SMALL = { headDim: 4, qkDim: 3, maxSeqLen: 12, dConv: 3 };

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 7], width: 6, options: VARIANTS.map((variant) => ({ ...SMALL, ...variant })) });
  agree('fused', 'reference', {
    T: [35],
    B: 1,
    width: 4,
    options: [
      { ...SMALL, structure: 'attention', headDim: 1, qkDim: 1, expand: 1 },
      { ...SMALL, structure: 'quasiseparable', headDim: 1, qkDim: 1, dConv: 1 },
    ],
  });

  describe('each matrix is its formula', () => {
    // 1e-6: one float32 product and sum an entry, against float64.
    const close = (M: tf.Tensor, T: number, entry: (i: number, j: number) => number, tolerance = 1e-6) =>
      expect(relativeError(M.dataSync(), table(T, entry))).toBeLessThan(tolerance);

    it.each([1, 2, 7])('Toeplitz, aligned and one place off, %i tokens', (T) => {
      tf.tidy(() => {
        const taps = noise([1, 1, 2 * T - 1], 'taps') as tf.Tensor3D;
        const t = taps.dataSync();
        close(matrices.toeplitz(taps, 0.5), T, (i, j) => 0.5 * t[i - j + T - 1]);
        const off = matrices.toeplitz(matrices.onePlaceOff(taps), 1);
        close(off, T, (i, j) => t[(i - j + T) % (2 * T - 1)]);
        const [fwd, rev] = ['fwd', 'rev'].map((name) => noise([1, T, 1], name) as tf.Tensor3D);
        const [f, r] = [fwd.dataSync(), rev.dataSync()];
        close(matrices.toeplitz(matrices.tapsOf(fwd, rev), 1), T, (i, j) => (i >= j ? f[i - j] : r[j - i]));
      });
    });

    it('Toeplitz taps of a longer table keep their distance', () => {
      tf.tidy(() => {
        const taps = noise([1, 1, 23], 'taps') as tf.Tensor3D;
        const t = taps.dataSync();
        close(matrices.toeplitz(matrices.middleTaps(taps, 5), 1), 5, (i, j) => t[i - j + 11]);
      });
    });

    it.each([0.1, 1, 100])('waves of %d turns a step', (scale) => {
      tf.tidy(() => {
        const [T, d] = [301, 3];
        const { q, k } = maps(1, T, 1, d, scale);
        const [a, b] = [q.dataSync(), k.dataSync()];
        const cos = (turns: number, times: number) => Math.cos(2 * Math.PI * ((turns * times) % 1));
        const sum = (entry: (c: number) => number) => [0, 1, 2].reduce((total, c) => total + entry(c), 0);
        close(matrices.learnedWaves({ q, k }, 1), T, (i, j) => sum((c) => cos(a[i * d + c], j) + cos(b[j * d + c], i)));
        // Turns of a thousandth are rounded once in float32 before they are multiplied by up to 300.
        close(
          matrices.slowWaves({ q, k }, 1),
          T,
          (i, j) => sum((c) => cos(1e-3 * a[i * d + c], j) - cos(1e-3 * b[j * d + c], i)),
          1e-6 * Math.max(5, scale),
        );
      });
    });

    it('waves have the slope of their formula, many turns out', () => {
      tf.tidy(() => {
        const turns = noise([1, 40, 2], 'turns', 3) as tf.Tensor3D;
        const dy = noise([1, 40, 40], 'dy');
        const [u, g] = [turns.dataSync(), dy.dataSync()];
        const slopes = () => tf.grad((x) => tf.sum(tf.mul(dips(x as tf.Tensor3D), dy)))(turns);
        const due = Float64Array.from(u, (one, n) => {
          const i = Math.floor(n / 2);
          let sum = 0;
          for (let j = 0; j < 40; j++) sum += g[i * 40 + j] * Math.PI * j * Math.sin(2 * Math.PI * ((one * j) % 1));
          return sum;
        });
        // 1e-5: 40 terms of up to 240 that cancel.
        for (const got of [slopes(), withReference(slopes)])
          expect(relativeError(got.dataSync(), due)).toBeLessThan(1e-5);
      });
    });

    it('Cauchy, its bias counted twice and never letting a denominator reach zero', () => {
      tf.tidy(() => {
        const { q, k } = maps(1, 9, 1, 2, 2);
        const [a, b] = [q.dataSync(), k.dataSync()];
        for (const bias of [0.5, -3]) {
          const held = Math.max(bias, 1e-3);
          close(matrices.cauchy({ q, k }, 3, tf.tensor1d([bias])), 9, (i, j) =>
            [0, 1].reduce((s, c) => s + 3 / (Math.exp(a[i * 2 + c]) + Math.exp(b[j * 2 + c]) + 2 * held + 1e-8), 0),
          );
        }
      });
    });

    it('Cauchy far out stays finite, with its gradients', () => {
      tf.tidy(() => {
        const { q, k } = maps(1, 6, 1, 2, 100);
        const run = (q: tf.Tensor, k: tf.Tensor) => tf.sum(matrices.cauchy({ q, k } as matrices.Maps, 1));
        const gradients = tf.grads((q, k) => run(q, k))([q, k]);
        for (const one of [run(q, k), ...gradients]) expect(one.dataSync().every(Number.isFinite)).toBe(true);
      });
    });

    it('the cosine transform, cut from a longer one', () => {
      tf.tidy(() => {
        close(matrices.cosineTransform(5, 8), 5, (i, j) => Math.cos((Math.PI * i * j) / 4) / Math.sqrt(8));
      });
    });
  });

  it.each([
    [2, 2],
    [1, 2],
    [1, 1],
  ])('multiplies values by a matrix [%i, %i, T, T]', (b, h) => {
    tf.tidy(() => {
      const M = noise([b, h, 5, 5], 'M') as tf.Tensor4D;
      const v = noise([2, 5, 2, 3], 'v') as tf.Tensor4D;
      const full = tf.mul(M, tf.ones([2, 2, 1, 1]));
      const due = tf.transpose(tf.matMul(full, tf.transpose(v, [0, 2, 1, 3])), [0, 2, 1, 3]);
      expect(relativeError(matrices.apply(M, v).dataSync(), due.dataSync())).toBeLessThan(1e-6);
      const low = maps(b, 5, 2, 3);
      const without = matrices.applyLowRank(low, 0.5, v).dataSync();
      expect(relativeError(without, matrices.apply(matrices.lowRank(low, 0.5), v).dataSync())).toBeLessThan(1e-6);
    });
  });

  it.each(VARIANTS)('shows the matrix that it mixes by: %j', (variant) => {
    tf.tidy(() => {
      // 11 of 12 positions. With w_in zero in all but the values, and one tap, the values are known.
      const o = options({ ...SMALL, ...variant, dConv: 1 });
      const weights = weightsFor(block, o, 6);
      const x = noise([2, 11, 6], 'x') as tf.Tensor3D;
      const seen: Record<string, tf.Tensor> = {};
      block.layer.forward(x, weights, { options: o, extra: (name, value) => Object.assign(seen, { [name]: value }) });
      const values = tf.matMul(tf.reshape(x, [22, 6]), tf.slice(weights.w_in, [0, 12], [6, 12]) as tf.Tensor2D);
      const u = tf.add(tf.mul(values, tf.slice(weights.conv_w, [0, 0], [1, 12])), tf.slice(weights.conv_b, 0, 12));
      const v = tf.reshape(tf.mul(u, tf.sigmoid(u)), [2, 11, 3, 4]) as tf.Tensor4D;
      const mixed = matrices.apply(seen.M as tf.Tensor4D, v);
      const due = o.structure === 'quasiseparable' ? mixed : tf.add(v, mixed);
      // 1e-5: float32 sums over 11 tokens in two orders.
      expect(relativeError(seen.y_mix.dataSync(), tf.reshape(due, [2, 11, 12]).dataSync())).toBeLessThan(1e-5);
    });
  });

  it.each(VARIANTS)('counts its matrix products: %j', async (variant) => {
    const o = options({ ...SMALL, ...variant });
    const [width, T] = [6, 12];
    const { inner, H, P, K, d, conv } = sizes(o, width);
    const counted = await productFlops(() => {
      const { x, weights } = prepare(block, { width, T, B: 1, options: { ...SMALL, ...variant } });
      return block.layer.forward(x, weights, { options: o });
    });
    const scan = scanFlops({ H, P, G: 1, N: H * d }, T);
    const waved =
      o.structure === 'cauchy' ||
      (o.structure === 'vandermonde' && (o.dataDependent || o.vandermondeKind === 'learned'));
    const elementwise =
      T * (2 * K * conv + 14 * inner) +
      (o.structure === 'quasiseparable' ? 2 * (scan.forward - scan.matrices) : 0) +
      (waved ? 4 * T * T * H * d : 0);
    expect(Math.abs(counted / (block.cost(o, width, T).forwardFlops - elementwise) - 1)).toBeLessThan(0.01);
  });

  it('takes any length where the data make the matrix, and refuses more than it learned', () => {
    tf.tidy(() => {
      const run = (given: object) => {
        const o = options({ ...SMALL, ...given });
        return block.layer.forward(noise([1, 20, 6], 'x') as tf.Tensor3D, weightsFor(block, o, 6), { options: o });
      };
      expect(run({ structure: 'toeplitz' }).dataSync().every(Number.isFinite)).toBe(true);
      expect(() => run({ structure: 'toeplitz', dataDependent: false })).toThrow(
        'options.maxSeqLen: 20 tokens do not fit a matrix that is learned for 12 positions; set maxSeqLen to 20',
      );
    });
  });

  it('is refused in a model before it runs where the task’s rows are longer than it learned', () => {
    const problems = (tokens: number, given: object) =>
      inspect(
        {
          format: MODEL_FORMAT,
          width: 6,
          positions: 'none',
          layers: [{ block: 'matrix_mixer', options: { ...SMALL, ...given } }],
          finalNorm: 'rms',
          head: { tied: true },
        },
        { tokens, vocabulary: 5, objective: 'masked' },
      ).problems;
    const learned = { structure: 'toeplitz', dataDependent: false };
    expect(problems(13, learned)).toEqual([
      {
        path: 'model.layers[0].options.maxSeqLen',
        message: '13 tokens do not fit a matrix that is learned for 12 positions',
        hint: 'set maxSeqLen to 13, give shorter sequences, or let the data make the matrix',
        fix: 13,
      },
    ]);
    expect(problems(12, learned)).toEqual([]);
    expect(problems(13, { structure: 'toeplitz' })).toEqual([]);
  });

  it.each([
    [{ structure: 'dense' }, 'options.dataDependent: the data can’t make a dense matrix', false],
    [{ headDim: 64 }, 'options.headDim: heads of 64 channels do not divide the inner width 2 × 48 = 96', 48],
    [{ headDim: 32, dConv: 4 }, 'options.dConv: a centred convolution wants an odd number of taps, not 4', 5],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options({ headDim: 96, ...given }), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
  });
});
