// The mLSTM block: golden cases, decoding, its starting values, its count of FLOPs and its rules.

import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { complete } from '../../spec/options';
import type { Place } from '../define';
import { cellFlops } from '../mlstm_cell/block';
import block from './block';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 66], width: 6, options: [{ heads: 3 }] });

  const cases = [
    { width: 8, T: 1, options: { heads: 2 } },
    { width: 8, T: 67, options: { heads: 2 } },
    { width: 8, T: 9, options: { heads: 2, forgetGate: 'exp', bias: true, eps: 0 } },
    { width: 1, T: 5, options: { heads: 2, blockSize: 1, convSize: 1 } },
    { width: 5, T: 9, options: { heads: 4, inner: 12, blockSize: 3, convSize: 3 } },
  ];
  it.each(cases)('decodes what it computes at once: %j', (given) => decodesAlike(block, given));
  it('never looks ahead, over chunks', () => staysCausal(block, { width: 8, T: 140, options: { heads: 2 } }));

  it.each([
    [1, 64],
    [12, 64],
    [130, 32],
  ])('counts the matrix products that run: T %i, width %i', async (T, width) => {
    const o = options({ heads: 4 });
    const E = 2 * width;
    const cell = cellFlops({ H: 4, d: E / 4 }, T);
    const elementwise = T * (8 + 25) * E + cell.forward - cell.matrices;
    const said = block.cost(o, width, T).forwardFlops - elementwise;
    const counted = await productFlops(() => {
      const { weights, x } = prepare(block, { width, T, B: 1, options: o });
      return block.layer.forward(x, weights, { options: o });
    });
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  });

  it('starts as published: gates from their biases alone, forgetting from 3 to 6, an output that shrinks with the depth', () => {
    const weights = block.weights(options({ heads: 4, layers: 4 }), 64);
    const values = (name: string) => Array.from(initialValues(1, name, weights[name], 9));
    expect(values('b_f')).toEqual([3, 4, 5, 6]);
    expect(values('w_f').every((w) => w === 0)).toBe(true);
    const spread = (list: number[]) => Math.sqrt(list.reduce((sum, w) => sum + w * w, 0) / list.length);
    // 8192 draws: the spread is good to 0.8 %, so 3 % is four of its own.
    expect(spread(values('w_down')) / (2 / (4 * 8))).toBeCloseTo(1, 1);
    expect(spread(values('w_up')) / Math.sqrt(2 / (5 * 64))).toBeCloseTo(1, 1);
  });

  it('takes its depth from the model unless told', () => {
    const place: Place = {
      ids: ['mlstm', 'mlp', 'slstm', 'mlstm'],
      roles: ['mixer', 'channel', 'mixer', 'mixer'],
      index: 3,
    };
    expect(block.placed!(options({}), place)).toMatchObject({ layer: 2, layers: 3 });
    expect(block.placed!(options({ layer: 0, layers: 7 }), place)).toMatchObject({ layer: 0, layers: 7 });
  });

  it.each([
    [{ heads: 5 }, 'options.heads: 5 heads do not divide the inner width 2 × 48 = 96', 4],
    [{ inner: 50, heads: 5 }, 'options.blockSize: projection blocks of 4 channels do not divide the inner width 50', 5],
  ])('names what does not go together: %j', (given, message, fix) => {
    const [problem, ...rest] = block.rules!(options(given), 48, 'options');
    expect(rest).toEqual([]);
    expect(`${problem.path}: ${problem.message}`).toContain(message);
    expect(problem.fix).toBe(fix);
  });
});
