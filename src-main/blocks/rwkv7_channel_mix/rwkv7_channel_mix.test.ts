// RWKV-7's channel mixing: its equation in plain loops, decoding, its count of FLOPs and its starting values.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import block from './block';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ agree, it }) => {
  agree('fused', 'reference', { T: [1, 9], width: 6, options: [{}, { hidden: 5 }] });

  it('is the published equation', () => {
    tf.tidy(() => {
      const [T, D, F] = [4, 3, 5];
      const given = prepare(block, { width: D, T, B: 1, options: { hidden: F } });
      const y = block.layer.forward(given.x, given.weights, { options: options({ hidden: F }) }).dataSync();
      const [x, share, W, V] = [given.x, given.weights.x_k, given.weights.w_k, given.weights.w_v].map((u) =>
        u.dataSync(),
      );
      for (let t = 0; t < T; t++)
        for (let o = 0; o < D; o++) {
          let due = 0;
          for (let f = 0; f < F; f++) {
            let hidden = 0;
            for (let j = 0; j < D; j++) {
              const before = t > 0 ? x[(t - 1) * D + j] : 0;
              hidden += (x[t * D + j] + (before - x[t * D + j]) * share[j]) * W[j * F + f];
            }
            due += Math.max(0, hidden) ** 2 * V[f * D + o];
          }
          expect(y[t * D + o]).toBeCloseTo(due, 5);
        }
    });
  });

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
    expect(Math.abs(counted / (block.cost(options({}), D, T).forwardFlops - T * 11 * D) - 1)).toBeLessThan(0.01);
  });

  it('starts with nothing to add and shifts that shrink with depth', () => {
    const weights = block.weights(options({ layer: 1, layers: 2 }), 4);
    const start = (name: keyof typeof weights) => Array.from(initialValues(1, name, weights[name], 1));
    expect(start('x_k')).toEqual([0, 1, 2, 3].map((j) => Math.fround(1 - (j / 4) ** (1 / 16))));
    expect(start('w_v').every((w) => w === 0)).toBe(true);
  });
});
