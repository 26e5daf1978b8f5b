// RWKV-4's time mixing: golden cases, decoding, its starting values and its count of FLOPs.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { complete } from '../../spec/options';
import block from './block';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 33], width: 5, options: [{ inner: 7 }] });

  const cases = [
    { width: 1, T: 1 },
    { width: 1, T: 7 },
    { width: 8, T: 37, options: { inner: 5, layer: 2, layers: 4 } },
  ];
  it.each(cases)('decodes what it computes at once: %j', (given) => decodesAlike(block, given));
  it('never looks ahead', () => staysCausal(block, { width: 8, T: 21 }));

  it('counts the matrix products that run', async () => {
    const [D, T, A] = [24, 9, 16];
    const o = options({ inner: A });
    const counted = await productFlops(() => {
      const { weights, x } = prepare(block, { width: D, T, B: 1, options: o });
      return block.layer.forward(x, weights, { options: o });
    });
    const elementwise = T * (9 * D + 25 * A);
    expect(Math.abs(counted / (block.cost(o, D, T).forwardFlops - elementwise) - 1)).toBeLessThan(0.01);
  });

  it('starts as published, by channel and depth', () => {
    const start = (name: string, given: object) =>
      Array.from(initialValues(1, name, block.weights(options(given), 4)[name], 1));
    const rounded = (values: number[]) => values.map((value) => Math.fround(value));
    const first = { layer: 0, layers: 3 };
    const last = { layer: 2, layers: 3 };
    expect(start('mu_k', first)).toEqual([0, 0.25, 0.5, 0.75]);
    expect(start('mu_v', last)).toEqual(rounded([0, 1, 2, 3].map((j) => (j / 4) ** (1 / 3) + 0.3)));
    expect(start('mu_r', first)).toEqual(rounded([0, 1, 2, 3].map((j) => Math.sqrt(j / 4))));
    expect(start('time_decay', last)).toEqual(rounded([0, 1, 2, 3].map((j) => -5 + 8 * (j / 3) ** 2)));
    expect(start('time_first', first)).toEqual(rounded([0, 0.5, -0.5, 0].map((bonus) => Math.log(0.3) + bonus)));
    expect(start('w_o', first).every((w) => w === 0)).toBe(true);
    const w = start('w_v', first);
    const product = (i: number, j: number) => [0, 1, 2, 3].reduce((sum, c) => sum + w[4 * i + c] * w[4 * j + c], 0);
    for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) expect(product(i, j)).toBeCloseTo(Number(i === j), 6);
  });
});
