// The gated MLP: the kernel against the equation for every activation, and its hidden width.
import { expect } from 'vitest';
import { describeBlock, noise, weightsFor } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { activations } from '../parts/activation';
import block from './block';
import { hiddenWidth } from './options';
import { gatedMlp } from './reference';

describeBlock(block, ({ agree, it }) => {
  agree('fused', 'reference', { T: [1, 5], width: 6, options: activations.map((activation) => ({ activation })) });
  agree('fused', 'reference', { T: [3], width: 1, options: [{ hidden: 1 }] });

  it('is its equation', () => {
    tf.tidy(() => {
      const options = complete(block.options, { hidden: 7 });
      const weights = weightsFor(block, options, 5);
      const x = noise([2, 3, 5], 'x') as tf.Tensor3D;
      const y = block.layer.forward(x, weights, { options });
      expect(relativeError(y.dataSync(), gatedMlp(x, weights, 'silu').dataSync())).toBeLessThan(1e-5);
    });
  });

  it('takes the hidden width by multiple, rounded up, or by number', () => {
    const width = (given: object, D: number) => hiddenWidth(complete(block.options, given as never), D);
    expect(width({}, 256)).toBe(704);
    expect(width({ roundTo: 1 }, 3)).toBe(8);
    expect(width({ hidden: 100 }, 256)).toBe(100);
  });
});
