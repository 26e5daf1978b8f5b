// Grouped-tied attention: golden cases, its identity with grouped queries of tied weights, decoding, and what its options promise.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { countsItsProducts, decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import softmaxAttention from '../softmax_attention/block';
import block from './block';
import type { GtaOptions } from './options';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);
const variants = [
  { heads: 6, kvHeads: 3, headDim: 7, ropeDim: 4, ropeKeyBias: true },
  { heads: 4, kvHeads: 1, headDim: 8, ropeDim: 2, ropeFraction: 0.5 },
  { heads: 2, kvHeads: 0, headDim: 3, ropeDim: 2 },
];

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 33], width: 24, options: variants });

  it('without positions is grouped-query attention whose keys and values share weights', () => {
    tf.tidy(() => {
      const given = { heads: 4, kvHeads: 2, headDim: 6, ropeDim: 2, ropeFraction: 0 };
      const { options: own, weights: w, x } = prepare(block, { width: 10, T: 15, options: given });
      // Keys: the first 4 columns of each tied head, then the two of the rotary key.
      const tied = tf.slice(tf.reshape(w.w_kv, [10, 2, 6]), [0, 0, 0], [10, 2, 4]);
      const shared = tf.tile(tf.reshape(w.w_kr, [10, 1, 2]), [1, 2, 1]);
      const w_k = tf.reshape(tf.concat([tied, shared], 2), [10, 12]);
      const plain = complete(softmaxAttention.options, { heads: 4, kvHeads: 2, headDim: 6, ropeFraction: 0 });
      const due = softmaxAttention.layer.forward(x, { ...w, w_k, w_v: w.w_kv }, { options: plain });
      const y = block.layer.forward(x, w, { options: own as unknown as GtaOptions });
      // 1e-6: the same sums.
      expect(relativeError(y.dataSync(), due.dataSync())).toBeLessThan(1e-6);
    });
  });

  it.each(variants)('decodes from the tied states alone: %j', (given) => {
    decodesAlike(block, { width: 24, T: 21, options: given });
    decodesAlike(block, { width: 24, T: 1, B: 1, options: given });
  });

  it('never looks ahead', () => staysCausal(block, { width: 24, T: 70, options: variants[0] }));

  it.each(variants)('counts its products: %j', (given) =>
    countsItsProducts(block, { width: 24, T: 10, options: given }),
  );

  it('counts the products of a decode step', async () => {
    const [n, D, H, Hk, d, dR] = [9, 24, 6, 3, 7, 4];
    const { options, weights, x } = prepare(block, { width: D, T: 1, B: 1, options: variants[0] });
    const state = { kv_cache: tf.ones([1, Hk, n - 1, d]), k_rope: tf.ones([1, n - 1, dR]) };
    const counted = await productFlops(
      () => block.layer.step!(x, weights, state, { options: options as unknown as GtaOptions, position: n - 1 }).y,
    );
    expect(Math.round(counted)).toBe(2 * D * (2 * H * d + Hk * d + dR) + 4 * n * H * d);
    tf.dispose([...Object.values(weights), ...Object.values(state), x]);
  });

  it.each([
    [{ heads: 6, kvHeads: 4 }, 48, 'options.kvHeads: 4 tied heads do not divide 6 query heads', 3],
    [{ heads: 5, kvHeads: 5 }, 48, 'options.heads: 5 heads do not divide the width 48', 4],
    [{ headDim: 8, ropeDim: 8 }, 48, 'options.ropeDim: 8 rotary channels leave nothing of a head of 8', 6],
    [{ headDim: 2 }, 48, 'options.headDim: 2 rotary channels leave nothing of a head of 2', 4],
    [{ headDim: 2, ropeDim: 4 }, 48, 'options.headDim: 4 rotary channels leave nothing of a head of 2', 6],
  ])('names what does not go together: %j', (given, width, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), width, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
    expect(problem.hint).toContain(String(fix));
  });
});
