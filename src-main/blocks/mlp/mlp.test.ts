// The plain MLP: each activation against its formula, biases, hidden width.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { activations } from '../parts/activation';
import block from './block';

const formulas: Record<(typeof activations)[number], (u: number) => number> = {
  identity: (u) => u,
  silu: (u) => u / (1 + Math.exp(-u)),
  gelu: (u) => 0.5 * u * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (u + 0.044715 * u ** 3))),
  relu: (u) => Math.max(u, 0),
  relu2: (u) => Math.max(u, 0) ** 2,
  sigmoid: (u) => 1 / (1 + Math.exp(-u)),
  tanh: Math.tanh,
};

describeBlock(block, ({ agree, it }) => {
  agree('fused', 'reference', { T: [1, 5], width: 6, options: [{}, { activation: 'silu', bias: true, hidden: 5 }] });

  it.each(activations)('is its formula with %s', (activation) => {
    tf.tidy(() => {
      const options = complete(block.options, { activation, hidden: 1, bias: true });
      const weights = weightsFor(block, options, 1);
      const [up, down, b, c] = ['w_up', 'w_down', 'b_up', 'b_down'].map((name) => weights[name].dataSync()[0]);
      const x = noise([1, 9, 1], 'x', 20) as tf.Tensor3D;
      const y = block.layer.forward(x, weights, { options }).dataSync();
      const due = Array.from(x.dataSync(), (u) => formulas[activation](u * up + b) * down + c);
      // 1e-5: float32 against float64 at sizes of about 1.
      for (const [i, value] of due.entries()) expect(Math.abs(y[i] - value)).toBeLessThan(1e-5 * (1 + Math.abs(value)));
    });
  });
});
