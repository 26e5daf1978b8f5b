// Softmax attention: golden cases, kernels against the equation, and what its options promise.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { countsItsProducts, decodesAlike, staysCausal } from '../../../test/suites/sequence';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';
import { alibiSlopes, entropyOf, inverseTemperature } from './reference';

const variants = [
  { heads: 4, kvHeads: 2, qkNorm: true, ropeFraction: 0.5 },
  { heads: 6, kvHeads: 3, headDim: 4, window: 7, sinks: true },
  { heads: 3, headDim: 8, alibi: true, ropeFraction: 0, softCap: 0.3 },
  { heads: 2, window: 1, softCap: 2, qkvBias: true },
  { heads: 4, window: 40, alibi: true, ropeFraction: 0, sinks: true, adaptiveTemperature: true },
];
const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 2, 33, 65],
    width: 24,
    options: [
      { heads: 3, headDim: 10 },
      ...variants,
      { heads: 3, window: 5, causal: false },
      { heads: 3, kvHeads: 1, headDim: 1, ropeFraction: 0, causal: false, qkvBias: true },
    ],
  });

  it.each(variants)('decodes to the whole sequence, with a cache of the window: %j', (given) => {
    decodesAlike(block, { width: 24, T: 21, options: given });
    decodesAlike(block, { width: 24, T: 1, B: 1, options: given });
  });

  it.each(variants)('never looks ahead: %j', (given) => {
    // A window of one token has every score alike: nothing but its own value moves.
    staysCausal(block, { width: 24, T: 70, options: given });
  });

  it.each([variants[0], { heads: 3, sinks: true }])('counts its products: %j', (given) =>
    countsItsProducts(block, { width: 24, T: 10, options: given }),
  );

  it.each([
    [true, 3],
    [true, 50],
    [false, 3],
    [false, 9],
    [false, 50],
  ])('counts the pairs of a window: causal %s, %i tokens', (causal, window) => {
    const [T, D] = [10, 8];
    const seen = Array.from({ length: T * T }, (_, i) => Math.floor(i / T) - (i % T)).filter(
      (behind) => (!causal || behind >= 0) && Math.abs(behind) < window,
    ).length;
    const cost = (w: number) => block.cost(options({ heads: 2, causal, window: w }), D, T).forwardFlops;
    const projections = 8 * T * D * D;
    expect(cost(window)).toBe(projections + 4 * seen * D);
  });

  it('falls at the published slopes, for any number of heads', () => {
    expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i));
    expect(alibiSlopes(3)).toEqual([2 ** -4, 2 ** -8, 2 ** -2]);
    expect(alibiSlopes(12).slice(8)).toEqual([0.5, 1.5, 2.5, 3.5].map((i) => 2 ** -i));
  });

  it('lets a sink take the whole of a head', () => {
    tf.tidy(() => {
      const o = options({ heads: 2, sinks: true });
      const weights = { ...weightsFor(block, o, 8), sinks: tf.tensor1d([60, 60]) };
      const y = block.layer.forward(noise([1, 5, 8], 'x') as tf.Tensor3D, weights, { options: o }).dataSync();
      for (const u of y) expect(Math.abs(u)).toBeLessThan(1e-20);
    });
  });

  it('computes the published polynomial for the temperature', () => {
    const poly = (e: number) => -0.037 * e ** 4 + 0.481 * e ** 3 - 2.3 * e ** 2 + 4.917 * e - 1.791;
    const entropies = Array.from({ length: 70 }, (_, i) => i / 10);
    const beta = tf.tidy(() => inverseTemperature(tf.tensor1d(entropies)).dataSync());
    // 1e-6: the polynomial peaks at 2.42, so float32 leaves about 5e-7.
    for (const [i, e] of entropies.entries()) expect(Math.abs(beta[i] - Math.max(poly(e), 1))).toBeLessThan(1e-6);
  });

  it('has the entropy of rows that see one key or nearly so, and slopes at shares of 0 and 1', () => {
    const rows = [
      [1, 0, 0],
      [Math.fround(1 - 2 ** -20), 2 ** -20, 0],
      [0.5, 0.25, 0.25],
      [2 ** -30, 0.5, Math.fround(0.5 - 2 ** -30)],
    ];
    const [found, slopes] = tf.tidy(() => {
      const p = tf.tensor2d(rows);
      return [
        entropyOf(p).dataSync(),
        tf
          .grad((u) => tf.sum(entropyOf(u)))(p)
          .dataSync(),
      ];
    });
    for (const [i, row] of rows.entries()) {
      const entropy = -row.reduce((sum, p) => sum + p * Math.log(p + 1e-9), 0);
      expect(Math.abs(found[i] - entropy)).toBeLessThan(1e-6 * Math.max(Math.abs(entropy), 1e-6));
      for (const [j, p] of row.entries()) {
        const slope = -Math.log(p + 1e-9) - p / (p + 1e-9);
        expect(Math.abs(slopes[3 * i + j] - slope)).toBeLessThan(1e-5);
      }
    }
  });

  it('sharpens in evaluation and not in training', () => {
    tf.tidy(() => {
      const plain = options({ heads: 2 });
      const adaptive = options({ heads: 2, adaptiveTemperature: true });
      const weights = weightsFor(block, plain, 8);
      const x = noise([1, 20, 8], 'x') as tf.Tensor3D;
      const run = (o: typeof plain, training: boolean) =>
        Array.from(block.layer.forward(x, weights, { options: o, training }).dataSync());
      expect(run(adaptive, true)).toEqual(run(plain, true));
      expect(run(adaptive, false)).not.toEqual(run(plain, false));
    });
  });

  it('shares key heads with neighbouring queries: grouped equals repeated', () => {
    tf.tidy(() => {
      const grouped = options({ heads: 4, kvHeads: 2, headDim: 4 });
      const weights = weightsFor(block, grouped, 12);
      const twice = (w: tf.Tensor) => tf.reshape(tf.tile(tf.reshape(w, [12, 2, 1, 4]), [1, 1, 2, 1]), [12, 16]);
      const repeated = { ...weights, w_k: twice(weights.w_k), w_v: twice(weights.w_v) };
      const x = noise([2, 7, 12], 'x') as tf.Tensor3D;
      const a = block.layer.forward(x, weights, { options: grouped }).dataSync();
      const b = block.layer.forward(x, repeated, { options: options({ heads: 4, headDim: 4 }) }).dataSync();
      for (let i = 0; i < a.length; i++) expect(a[i]).toBeCloseTo(b[i], 5);
    });
  });

  it.each([
    [{ heads: 6, kvHeads: 4 }, 'options.kvHeads: 4 key heads do not divide 6 query heads', 3],
    [{ heads: 5 }, 'options.heads: 5 heads do not divide the width 48', 4],
    [{ heads: 4, headDim: 7 }, 'options.headDim: rotary positions turn pairs of channels', 8],
    [{ heads: 4, alibi: true }, 'options.ropeFraction: ALiBi takes the place of rotary positions', 0],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
    expect(problem.hint).toContain(String(fix));
  });
});
