// LSTM: what it shares with the GRU, against its own cell in float64, and its starting values.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { type Cell, sigmoid, testRecurrent } from '../../../test/suites/recurrent';
import { initialValues } from '../../engine/build';
import { complete } from '../../spec/options';
import block from './block';

/** Gates i, f, g, o. */
const cell: Cell = (input, state, { c }) => {
  const H = c.length;
  const gate = (k: number, j: number) => input[k * H + j] + state[k * H + j];
  const next = c.map((old, j) => sigmoid(gate(1, j)) * old + sigmoid(gate(0, j)) * Math.tanh(gate(2, j)));
  return { c: next, h: next.map((u, j) => sigmoid(gate(3, j)) * Math.tanh(u)) };
};

describeBlock(block, (tools) => {
  testRecurrent(block, tools, { cell, gates: 4, carries: ['h', 'c'] });

  tools.it('starts as PyTorch does, with the forget gate moved', () => {
    const H = 16;
    const start = (forgetBias: number) => {
      const { b_x, b_h, w_x } = block.weights(complete(block.options, { forgetBias }), H);
      return [b_x, b_h, w_x].map((spec) => initialValues(1, 'w', spec, 1));
    };
    for (const values of start(0)) {
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(0.25);
      expect(Math.max(...values)).toBeGreaterThan(0.15);
    }
    const [plainBias] = start(0);
    const [moved, state] = start(3);
    for (let i = 0; i < 4 * H; i++) expect(moved[i] - plainBias[i]).toBeCloseTo(Math.floor(i / H) === 1 ? 3 : 0, 5);
    expect(state).toEqual(start(0)[1]);
  });
});
