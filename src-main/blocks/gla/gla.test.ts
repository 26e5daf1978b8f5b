// Grouped latent attention: golden cases, the sum over its groups, absorbed decoding, and what its options promise.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { countsItsProducts, decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';
import type { GlaOptions } from './options';
import { gla } from './reference';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);
const variants = [
  { heads: 6, latentHeads: 3, headDim: 5, latentDim: 7, ropeDim: 6, queryRank: 9 },
  { heads: 4, latentHeads: 2, projBias: true, queryRank: 5 },
  { heads: 3, latentHeads: 1, headDim: 1, latentDim: 1, ropeDim: 2, projBias: true, ropeFraction: 0 },
  { heads: 4, latentHeads: 4 },
];

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 33], width: 24, options: variants.slice(0, 3) });

  it.each([variants[0], variants[3], { heads: 4, latentHeads: 1 }, { ...variants[0], causal: false }])(
    'is the sum of what each group adds: %j',
    (given) => {
      tf.tidy(() => {
        const { options, weights, x } = prepare(block, { width: 24, T: 19, options: given });
        const summed = gla(x, weights, options as unknown as GlaOptions);
        const y = block.layer.forward(x, weights, { options: options as unknown as GlaOptions });
        // 1e-5: the same sums in another order.
        expect(relativeError(y.dataSync(), summed.dataSync())).toBeLessThan(1e-5);
      });
    },
  );

  it.each(variants)('decodes from the latents alone: %j', (given) => {
    decodesAlike(block, { width: 24, T: 21, options: given });
    decodesAlike(block, { width: 24, T: 1, B: 1, options: given });
  });

  it('never looks ahead', () => staysCausal(block, { width: 24, T: 70, options: variants[0] }));

  it.each(variants.slice(0, 2))('counts its products: %j', (given) =>
    countsItsProducts(block, { width: 24, T: 10, options: given }),
  );

  it('never rebuilds keys or values in decoding: its products are those of the absorbed form', async () => {
    const [n, D, H, G, rq, r, d, dR] = [9, 24, 6, 3, 9, 7, 5, 6];
    const { options, weights, x } = prepare(block, { width: D, T: 1, B: 1, options: variants[0] });
    const state = { c_kv: tf.ones([1, G, n - 1, r]), k_rope: tf.ones([1, n - 1, dR]) };
    const counted = await productFlops(
      () => block.layer.step!(x, weights, state, { options: options as unknown as GlaOptions, position: n - 1 }).y,
    );
    const query = rq * (D + H * (d + dR));
    const matrices = query + D * (G * r + dR) + 2 * H * d * r + H * d * D;
    expect(Math.round(counted)).toBe(2 * matrices + 2 * n * H * (2 * r + dR));
    tf.dispose([...Object.values(weights), ...Object.values(state), x]);
  });

  it('keeps the bytes of the table in the paper: d = 128, two latent heads', () => {
    const { c_kv, k_rope } = block.state!(options({ heads: 8, headDim: 128 }), 1024);
    expect([c_kv.shape, k_rope.shape]).toEqual([
      [2, 'T', 256],
      ['T', 64],
    ]);
  });

  it('names what does not go together', () => {
    expect(block.rules!(options({ heads: 6, latentHeads: 4 }), 48, 'options')).toMatchObject([
      { path: 'options.latentHeads', message: '4 latent heads do not divide 6 query heads', hint: 'try 3', fix: 3 },
    ]);
    expect(block.rules!(options({ heads: 10 }), 48, 'options')).toMatchObject([{ path: 'options.heads', fix: 8 }]);
  });
});
