// RWKV-4's channel mixing: golden cases, kernels against compositions, decoding and its count of FLOPs.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { complete } from '../../spec/options';
import block from './block';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 2, 33], width: 6, options: [{}, { hidden: 5 }] });

  const cases = [
    { width: 1, T: 1 },
    { width: 7, T: 9, options: { hidden: 10 } },
  ];
  it.each(cases)('decodes what it computes at once: %j', (given) => decodesAlike(block, given));
  it('never looks ahead', () => staysCausal(block, { width: 8, T: 9 }));

  it('counts the matrix products that run', async () => {
    const [D, T] = [16, 5];
    const counted = await productFlops(() => {
      const { weights, x } = prepare(block, { width: D, T, B: 1 });
      return block.layer.forward(x, weights, { options: options({}) });
    });
    expect(Math.abs(counted / (block.cost(options({}), D, T).forwardFlops - T * 10 * D) - 1)).toBeLessThan(0.01);
  });

  it('starts with an orthogonal first matrix of gain 2 and nothing to add', () => {
    const weights = block.weights(options({}), 4);
    const values = initialValues(1, 'w_k', weights.w_k, 1);
    for (let i = 0; i < 4; i++)
      for (let j = 0; j < 4; j++) {
        let product = 0;
        for (let c = 0; c < 16; c++) product += values[16 * i + c] * values[16 * j + c];
        expect(product).toBeCloseTo(i === j ? 4 : 0, 5);
      }
    for (const name of ['w_v', 'w_r'])
      expect(initialValues(1, name, weights[name as 'w_v'], 1).every((w) => w === 0)).toBe(true);
  });
});
