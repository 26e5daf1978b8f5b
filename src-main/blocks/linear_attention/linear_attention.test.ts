// Linear attention: golden cases, the forms against each other, and what its options promise.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { countsItsProducts, decodesAlike, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';
import { attend } from './fused';
import { chunked, elu1, type Heads, recurrent } from './reference';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

const heads = ([b, T, H, Hk, d, e]: number[]): Heads => ({
  q: noise([b, T, H, d], 'q') as tf.Tensor4D,
  k: noise([b, T, Hk, d], 'k') as tf.Tensor4D,
  v: noise([b, T, Hk, e], 'v') as tf.Tensor4D,
});
/** The output and the gradients of a random weighting of it. */
function results(form: (heads: Heads) => tf.Tensor, { q, k, v }: Heads): ArrayLike<number>[] {
  const o = form({ q, k, v });
  const scalar = (...[q, k, v]: tf.Tensor[]) =>
    tf.sum(tf.mul(form({ q, k, v } as unknown as Heads), noise(o.shape, 'do')));
  return [o, ...tf.grads(scalar)([q, k, v])].map((t) => t.dataSync());
}

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', {
    T: [1, 2, 67],
    width: 12,
    options: [
      { heads: 3, keyDim: 1, valueDim: 5 },
      { heads: 4, kvHeads: 2, featureMap: 'identity', normalize: false, outputNorm: 'rmsnorm' },
    ],
  });

  it.each([
    [1, 1, 1, 1, 1, 1],
    [2, 7, 6, 2, 3, 5],
    [1, 67, 2, 2, 4, 3],
  ])('kernel, chunks and recurrence agree: b %i, T %i, H %i, Hk %i, d %i, e %i', (...size) => {
    tf.tidy(() => {
      const given = heads(size);
      const written = results(recurrent, given);
      // 1e-5: float32 sums over up to 67 tokens in three orders.
      for (const form of [attend, chunked, (h: Heads) => chunked(h, { chunk: 3 })])
        for (const [i, value] of results(form, given).entries())
          expect(relativeError(value, written[i])).toBeLessThan(1e-5);
    });
  });

  it.each([
    { width: 8, T: 1, options: { heads: 2 } },
    { width: 12, T: 21, options: { heads: 6, kvHeads: 3, keyDim: 1, valueDim: 5, scale: 2, outputNorm: 'rmsnorm' } },
    { width: 8, T: 70, options: { heads: 2, featureMap: 'identity', normalize: false, outputNorm: 'rmsnorm' } },
  ])('decodes alike and counts its products: $options, T $T', async (given) => {
    decodesAlike(block, given);
    await countsItsProducts(block, { ...given, T: 64 });
  });

  it('stays causal', () => staysCausal(block, { width: 8, T: 33, options: { heads: 2 } }));

  it('has positive features with the right slope on both sides, far out too', () => {
    tf.tidy(() => {
      const u = [-200, -1, 0, 1, 200];
      const x = tf.tensor1d(u);
      const close = (a: ArrayLike<number>, b: number[]) => expect(relativeError(a, b)).toBeLessThan(1e-6);
      close(elu1(x).dataSync(), [0, Math.exp(-1), 1, 2, 201]);
      close(
        tf
          .grad((x) => tf.sum(elu1(x)))(x)
          .dataSync(),
        [0, Math.exp(-1), 1, 1, 1],
      );
    });
  });

  it('with equal queries and keys takes the mean of all values so far', () => {
    tf.tidy(() => {
      const o = options({ heads: 1 });
      const eye = tf.eye(4);
      const weights = { w_q: tf.zeros([4, 4]), w_k: tf.zeros([4, 4]), w_v: eye, w_o: eye };
      const x = noise([1, 5, 4], 'x') as tf.Tensor3D;
      const y = block.layer.forward(x, weights, { options: o });
      const means = tf.div(tf.cumsum(x, 1), tf.reshape(tf.range(1, 6), [1, 5, 1]));
      expect(relativeError(y.dataSync(), means.dataSync())).toBeLessThan(1e-6);
    });
  });

  it('hardly changes by the division when a norm follows', () => {
    tf.tidy(() => {
      const normed = options({ heads: 2, outputNorm: 'rmsnorm' });
      const weights = weightsFor(block, normed, 8);
      const x = noise([1, 20, 8], 'x') as tf.Tensor3D;
      const run = (normalize: boolean, normEps: number) =>
        block.layer.forward(x, weights, { options: { ...normed, normalize, normEps } }).dataSync();
      expect(relativeError(run(true, 1e-12), run(false, 1e-12))).toBeLessThan(1e-5);
      expect(relativeError(run(true, 0.1), run(false, 0.1))).toBeGreaterThan(1e-3);
    });
  });

  it.each([
    [{ heads: 6, kvHeads: 4 }, 'options.kvHeads: 4 key heads do not divide 6 query heads', 3],
    [{ heads: 5, keyDim: 8 }, 'options.heads: 5 heads do not divide the width 48, and valueDim 0 asks', 4],
    [{ featureMap: 'identity' }, 'options.normalize: the sum of weights can be zero or negative', false],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
  });
});
