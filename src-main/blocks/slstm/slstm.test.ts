// The sLSTM block: golden cases, decoding, its starting values, its count of FLOPs and its rules.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { decodesAlike, prepare, productFlops, staysCausal } from '../../../test/suites/sequence';
import { initialValues } from '../../engine/build';
import { complete } from '../../spec/options';
import { cellFlops } from '../slstm_cell/block';
import block from './block';

const options = (given: object) => complete(block.options, given as Record<string, unknown>);

describeBlock(block, ({ golden, agree, it }) => {
  golden();
  agree('fused', 'reference', { T: [1, 17], width: 6, options: [{ heads: 3, recurrentInit: 'uniform' }] });

  const cases = [
    { width: 8, T: 1, options: { heads: 2 } },
    { width: 6, T: 21, options: { heads: 2, convSize: 1 } },
    { width: 4, T: 5, options: { heads: 1, convSize: 3 } },
  ];
  it.each(cases)('decodes what it computes at once: %j', (given) => decodesAlike(block, given));
  it('never looks ahead', () => staysCausal(block, { width: 8, T: 12, options: { heads: 2 } }));

  it('gives nothing at heads of one channel, as the norm of one number is 0', () => {
    decodesAlike(block, { width: 1, T: 3, options: { heads: 1 } });
  });

  it.each([1, 12])('counts the matrix products that run: T %i', async (T) => {
    const o = options({ heads: 2 });
    const [D, d] = [32, 16];
    const cell = cellFlops({ H: 2, d }, T);
    const said = block.cost(o, D, T).forwardFlops - T * (8 + 5) * D - (cell.forward - cell.matrices);
    const counted = await productFlops(() => {
      const { weights, x } = prepare(block, { width: D, T, B: 1, options: o });
      return block.layer.forward(x, weights, { options: o });
    });
    expect(Math.abs(counted / said - 1)).toBeLessThan(0.01);
  });

  it('starts to forget from slowly to fast within a head, by a power that grows with depth', () => {
    const biases = (given: object) => {
      const values = initialValues(1, 'b', block.weights(options({ heads: 2, ...given }), 8).b, 1);
      return Array.from(values.subarray(8, 12)); // forget gate, first head
    };
    const power = (exponent: number) => [0, 1, 2, 3].map((j) => Math.fround(5 - 12 * (j / 3) ** exponent));
    expect(biases({})).toEqual(power(0.3));
    expect(biases({ layer: 3, layers: 4 })).toEqual(power(1.6));
    expect(biases({ forgetInit: 'ramp' })).toEqual([3, 4, 5, 6]);
    const all = initialValues(1, 'b', block.weights(options({ heads: 8 }), 8).b, 1);
    expect(Array.from(all)).toEqual([...Array(8).fill(0), ...Array(8).fill(5), ...Array(16).fill(0)]);
  });

  it('names heads that do not divide the width', () => {
    const [problem] = block.rules!(options({ heads: 5 }), 48, 'options');
    expect(`${problem.path}: ${problem.message}`).toBe('options.heads: 5 heads do not divide the width 48');
    expect(problem.fix).toBe(4);
  });
});
