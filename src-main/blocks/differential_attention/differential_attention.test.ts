// Differential attention: golden cases, kernels against the equation, the depth of λ, decoding, and what its options promise.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { countsItsProducts, decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { planModel } from '../../engine/plan';
import { tf } from '../../ops';
import { MODEL_FORMAT, type ModelSpec } from '../../spec/model';
import { complete } from '../../spec/options';
import block from './block';
import { type DifferentialOptions, lambdaInit } from './options';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);
const variants = [
  { heads: 3, headDim: 10, layerIndex: 4 },
  { heads: 4, kvHeads: 2, headDim: 4, ropeFraction: 0.5 },
  { heads: 3, kvHeads: 1, headDim: 1, ropeFraction: 0, lambdaInit: 0.5 },
];

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 33, 65], width: 24, options: [...variants, { ...variants[1], causal: false }] });

  it.each(variants)('decodes from the keys of both maps: %j', (given) => {
    decodesAlike(block, { width: 24, T: 21, options: given });
    decodesAlike(block, { width: 24, T: 1, B: 1, options: given });
  });

  it('never looks ahead', () => staysCausal(block, { width: 24, T: 70, options: variants[1] }));

  it.each(variants)('counts its products: %j', (given) =>
    countsItsProducts(block, { width: 24, T: 10, options: given }),
  );

  it('counts the products of a decode step', async () => {
    const [n, D, H, Hk, d] = [9, 24, 4, 2, 4];
    const { options, weights, x } = prepare(block, {
      width: D,
      T: 1,
      B: 1,
      options: variants[1],
    });
    const state = { k_cache: tf.ones([1, 2 * Hk, n - 1, d]), v_cache: tf.ones([1, Hk, n - 1, 2 * d]) };
    const context = { options: options as unknown as DifferentialOptions, position: n - 1 };
    const counted = await productFlops(() => block.layer.step!(x, weights, state, context).y);
    // Scores of two components of d channels, and what each of the two maps reads of values of 2d.
    expect(Math.round(counted)).toBe(8 * D * d * (H + Hk) + 4 * n * H * d + 8 * n * H * d);
    tf.dispose([...Object.values(weights), ...Object.values(state), x]);
  });

  it('starts λ by the layer, counted from 0, or at a constant', () => {
    expect(lambdaInit(options({}))).toBeCloseTo(0.2, 12);
    expect(lambdaInit(options({ layerIndex: 1 }))).toBeCloseTo(0.35550906759096934, 12);
    expect(lambdaInit(options({ layerIndex: 5 }))).toBeCloseTo(0.6661219039109422, 12);
    expect(lambdaInit(options({ layerIndex: 5, lambdaInit: 0.8 }))).toBe(0.8);
  });

  it('counts all layers before it in its model, unless told', () => {
    const own = 'differential_attention';
    const layers = [
      { repeat: 2, layers: [{ block: own }, { block: 'gated_mlp' }] },
      { block: 'mamba2' },
      { block: own },
      { block: own, options: { layerIndex: 9 } },
    ];
    const spec = { format: MODEL_FORMAT, width: 64, positions: 'none', layers, finalNorm: 'rms', head: { tied: true } };
    const planned = planModel(spec as ModelSpec).blocks.filter(({ block }) => block.id === own);
    expect(planned.map((one) => one.options.layerIndex)).toEqual([0, 1, 3, 9]);
  });

  it('lets rows of the difference sum to 1 − λ, in both maps only what is past', () => {
    tf.tidy(() => {
      const { options, weights, x } = prepare(block, { width: 16, T: 6, options: { heads: 2 } });
      const seen: Record<string, tf.Tensor> = {};
      block.layer.forward(x, weights, {
        options: options as unknown as DifferentialOptions,
        extra: (name, value) => {
          seen[name] = value;
        },
      });
      const [lambda] = seen.lambda.dataSync();
      const rows = tf.sum(seen.attn_diff, -1).dataSync(); // [B, H, T]
      // 1e-5: six shares of about 1 summed in float32.
      for (const sum of rows) expect(Math.abs(sum - (1 - lambda))).toBeLessThan(1e-5);
      const map = seen.attn_diff.dataSync(); // [B, H, T, T]
      for (let i = 0; i < map.length; i++) if (i % 6 > Math.floor(i / 6) % 6) expect(map[i]).toBeCloseTo(0, 30);
    });
  });

  it('keeps its digits at the first token, where λ near 1 leaves little of the values', () => {
    tf.tidy(() => {
      const [D, d, start] = [8, 4, 0.5];
      const given = { heads: 1, lambdaInit: start };
      const { options, weights: w, x } = prepare(block, { width: D, T: 1, B: 1, options: given });
      // λ = 0.99: both products of the second pair are 0, those of the first sum to ln 1.49.
      const zero = tf.zeros([d]);
      const first = { lambda_q1: tf.add(zero, 1), lambda_k1: tf.add(zero, Math.log(1.49) / d) };
      const near = { ...w, ...first, lambda_q2: zero, lambda_k2: zero, w_o: tf.eye(D) };
      const y = block.layer.forward(x, near, { options: options as unknown as DifferentialOptions }).dataSync();
      // There o = (1 − λ)·v, here in float64.
      const [xs, values, gains] = [x as tf.Tensor, w.w_v, w.head_norm].map((t) => Array.from(t.dataSync()));
      const o = gains.map((_, j) => 0.01 * xs.reduce((sum, u, i) => sum + u * values[i * D + j], 0));
      const norm = Math.sqrt(o.reduce((sum, u) => sum + u * u, 0) / D + 1e-5);
      const due = o.map((u, j) => ((1 - start) * gains[j] * u) / norm);
      // 2e-6: 1 − λ = 0.01 itself has an error of about 1e-5 in float32, which the norm takes away but for its epsilon.
      expect(relativeError(y, due)).toBeLessThan(2e-6);
    });
  });

  it('stays true where one map has all its weight on one key', () => {
    tf.tidy(() => {
      const { options, weights, x } = prepare(block, { width: 24, T: 33, options: variants[1] });
      const sharp = { ...weights, w_q: tf.mul(weights.w_q, 300) };
      const context = { options: options as unknown as DifferentialOptions };
      const y = block.layer.forward(x, sharp, context).dataSync();
      expect(y.every(Number.isFinite)).toBe(true);
      const gradients = tf.grads((...w: tf.Tensor[]) =>
        tf.sum(block.layer.forward(x, Object.fromEntries(Object.keys(sharp).map((name, i) => [name, w[i]])), context)),
      )(Object.values(sharp));
      for (const gradient of gradients) expect(gradient.dataSync().every(Number.isFinite)).toBe(true);
    });
  });

  it.each([
    [{ heads: 6, kvHeads: 4 }, 'options.kvHeads: 4 key heads do not divide 6 query heads', 3],
    [{ heads: 5 }, 'options.heads: 5 heads do not divide the width 48, and headDim 0 asks for width / (2 × heads)', 4],
    [{ heads: 4, headDim: 7 }, 'options.headDim: rotary positions turn pairs of channels', 8],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
    expect(problem.hint).toContain(String(fix));
  });
});
