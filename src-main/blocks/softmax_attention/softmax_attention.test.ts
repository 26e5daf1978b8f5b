// Softmax attention: golden cases, kernels against the equation, and what its options promise.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';
import { inverseTemperature } from './reference';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 2, 33, 65],
    width: 24,
    options: [
      { heads: 3, headDim: 10 },
      { heads: 4, kvHeads: 2, qkNorm: true, ropeFraction: 0.5 },
      { heads: 3, kvHeads: 1, headDim: 1, ropeFraction: 0, causal: false, qkvBias: true },
    ],
  });

  it('computes the published polynomial for the temperature', () => {
    const poly = (e: number) => -0.037 * e ** 4 + 0.481 * e ** 3 - 2.3 * e ** 2 + 4.917 * e - 1.791;
    const entropies = Array.from({ length: 70 }, (_, i) => i / 10);
    const beta = tf.tidy(() => inverseTemperature(tf.tensor1d(entropies)).dataSync());
    // 1e-6: the polynomial peaks at 2.42, so float32 leaves about 5e-7.
    for (const [i, e] of entropies.entries()) expect(Math.abs(beta[i] - Math.max(poly(e), 1))).toBeLessThan(1e-6);
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
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
    expect(problem.hint).toContain(String(fix));
  });
});
