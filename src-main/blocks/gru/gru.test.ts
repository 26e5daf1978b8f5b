// GRU: what it shares with the LSTM, against its own cell in float64, and its starting values.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { type Cell, sigmoid, testRecurrent } from '../../../test/suites/recurrent';
import { initialValues } from '../../engine/build';
import { complete } from '../../spec/options';
import block from './block';

/** Gates r, z, n; the reset gate multiplies the state's share of the candidate. */
const cell: Cell = (input, state, { h }) => {
  const H = h.length;
  return {
    h: h.map((old, j) => {
      const reset = sigmoid(input[j] + state[j]);
      const keep = sigmoid(input[H + j] + state[H + j]);
      return (1 - keep) * Math.tanh(input[2 * H + j] + reset * state[2 * H + j]) + keep * old;
    }),
  };
};

describeBlock(block, (tools) => {
  testRecurrent(block, tools, { cell, gates: 3, carries: ['h'] });

  tools.it('starts as PyTorch does', () => {
    const { w_x, w_h, b_x, b_h, w_o } = block.weights(complete(block.options), 16);
    for (const spec of [w_x, w_h, b_x, b_h]) {
      const values = initialValues(1, 'w', spec, 4);
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(0.25);
      expect(Math.max(...values)).toBeGreaterThan(0.15);
    }
    expect(initialValues(1, 'w', w_o, 4)[3]).toBeCloseTo(initialValues(1, 'w', w_o, 1)[3] / 2, 7);
  });
});
