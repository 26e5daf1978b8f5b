// The short convolution: its equation in float64, slopes, kernel against composition, decoding and what it can't see.
import { expect } from 'vitest';
import { describeBlock } from '../../../test/suites/describe';
import { decodesAlike, prepare, staysCausal } from '../../../test/suites/sequence';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import { complete } from '../../spec/options';
import { activations } from '../parts/activation';
import block from './block';

describeBlock(block, ({ agree, it }) => {
  agree('fused', 'reference', {
    T: [1, 9, 33],
    width: 5,
    options: [
      {},
      { size: 1, bias: false, activation: 'identity' },
      ...activations.map((activation) => ({ activation })),
    ],
  });

  it.each([
    [1, 1, 1],
    [3, 4, 7],
    [64, 2, 9],
  ])('is its equation with %i taps, width %i, %i tokens', (size, width, T) => {
    tf.tidy(() => {
      const { x, weights, options } = prepare(block, { width, T, B: 1, options: { size, activation: 'identity' } });
      const y = block.layer.forward(x, weights, { options: complete(block.options, options) });
      const [u, w, b] = [x, weights.w, weights.b].map((one) => one.dataSync());
      const due = Float64Array.from({ length: T * width }, (_, n) => {
        const [t, c] = [Math.floor(n / width), n % width];
        let sum = b[c];
        for (let k = 0; k < size; k++)
          if (t + k >= size - 1) sum += w[k * width + c] * u[(t + k - size + 1) * width + c];
        return sum;
      });
      expect(relativeError(y.dataSync(), due)).toBeLessThan(1e-6); // a few float32 sums
    });
  });

  it('decodes alike from its last rows, and never looks ahead', () => {
    decodesAlike(block, { width: 6, T: 9 });
    decodesAlike(block, { width: 3, T: 5, options: { size: 1, activation: 'relu2' } });
    decodesAlike(block, { width: 3, T: 4, options: { size: 9, bias: false, activation: 'gelu' } });
    staysCausal(block, { width: 6, T: 12 });
  });

  it('sees as far back as its taps and no further', () => {
    tf.tidy(() => {
      const { x, weights, options } = prepare(block, { width: 2, T: 8, B: 1, options: { size: 3 } });
      const far = tf.concat([tf.fill([1, 1, 2], 9), tf.slice(x, [0, 1, 0], [1, 7, 2])], 1) as tf.Tensor3D;
      const [a, b] = [x, far].map((u) => block.layer.forward(u, weights, { options: complete(block.options, options) }).dataSync()); // biome-ignore format: one call
      expect(a.slice(0, 2)).not.toEqual(b.slice(0, 2));
      expect(a.slice(6)).toEqual(b.slice(6));
    });
  });
});
