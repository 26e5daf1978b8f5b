// Multi-head latent attention: golden cases, the equation head by head, absorbed decoding, and what its options promise.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { countsItsProducts, decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';
import type { MlaOptions } from './options';
import { mla } from './reference';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);
const variants = [
  { heads: 3, queryRank: 7, kvRank: 11, nopeDim: 5, ropeDim: 6, valueDim: 13 },
  { heads: 4, ropeFraction: 0.5 },
  { heads: 1, kvRank: 1, nopeDim: 1, ropeDim: 2, valueDim: 1, queryRank: 1, ropeFraction: 0 },
];

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 33], width: 24, options: variants });

  it.each([...variants, { ...variants[0], causal: false }])('is the equation, head by head: %j', (given) => {
    tf.tidy(() => {
      const { options, weights, x } = prepare(block, { width: 24, T: 19, options: given });
      const written = mla(x, weights, options as unknown as MlaOptions);
      const y = block.layer.forward(x, weights, { options: options as unknown as MlaOptions });
      // 1e-5: the same sums in another order.
      expect(relativeError(y.dataSync(), written.dataSync())).toBeLessThan(1e-5);
    });
  });

  it.each(variants)('decodes from the latents alone: %j', (given) => {
    decodesAlike(block, { width: 24, T: 21, options: given });
    decodesAlike(block, { width: 24, T: 1, B: 1, options: given });
  });

  it('never looks ahead', () => staysCausal(block, { width: 24, T: 70, options: variants[0] }));

  it.each(variants.slice(0, 2))('counts its products: %j', (given) =>
    countsItsProducts(block, { width: 24, T: 10, options: given }),
  );

  it('never rebuilds keys or values in decoding: its products are those of the absorbed form', async () => {
    const [n, D, H, rq, r, dN, dR, dV] = [9, 24, 3, 7, 11, 5, 6, 13];
    const { options, weights, x } = prepare(block, { width: D, T: 1, B: 1, options: variants[0] });
    const state = { c_kv: tf.ones([1, n - 1, r]), k_rope: tf.ones([1, n - 1, dR]) };
    const counted = await productFlops(
      () => block.layer.step!(x, weights, state, { options: options as unknown as MlaOptions, position: n - 1 }).y,
    );
    const query = rq * (D + H * (dN + dR));
    const matrices = query + D * (r + dR) + H * r * (dN + dV) + H * dV * D;
    expect(Math.round(counted)).toBe(2 * matrices + 2 * n * H * (2 * r + dR));
    tf.dispose([...Object.values(weights), ...Object.values(state), x]);
  });

  it('takes the proportions of the original where sizes are left out', () => {
    const { w_dkv, w_kr, w_ukv } = block.weights(options({ heads: 4 }), 64);
    expect([w_dkv.shape, w_kr.shape, w_ukv.shape]).toEqual([
      [64, 64],
      [64, 8],
      [64, 4 * 32],
    ]);
  });

  it('names heads that do not divide the width', () => {
    expect(block.rules!(options({ heads: 5 }), 48, 'options')).toMatchObject([
      {
        path: 'options.heads',
        message: '5 heads do not divide the width 48, and nopeDim 0 asks for width / heads',
        fix: 4,
      },
    ]);
    expect(block.rules!(options({ heads: 5, nopeDim: 8 }), 48, 'options')).toEqual([]);
  });
});
