// The scalar memory: golden cases, gates at both ends, and a gradient against finite differences.
import { expect } from 'vitest';
import { describeBlock, noise } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { tf, withReference } from '../../ops';
import block from './block';
import { slstmCell } from './fused';
import type { Cell } from './reference';

function cell([B, T, H, d]: number[], spread = 1): Cell {
  const gate = (name: string) => noise([B, T, H * d], name, spread);
  return {
    i: gate('i'),
    f: gate('f'),
    z: gate('z'),
    o: gate('o'),
    r: noise([4, H, d, d], 'r'),
    b: noise([4, H * d], 'b'),
  } as Cell;
}
const names = ['i', 'f', 'z', 'o', 'r', 'b'] as const;

function gradients(given: Cell): Float32Array[] {
  const scalar = (...values: tf.Tensor[]) => {
    const y = slstmCell(Object.fromEntries(names.map((name, at) => [name, values[at]])) as unknown as Cell);
    return tf.sum(tf.mul(y, noise(y.shape, 'dy')));
  };
  return tf
    .grads(scalar)(names.map((name) => given[name]))
    .map((g) => g.dataSync() as Float32Array);
}

describeBlock(block, ({ golden, it }) => {
  golden();

  it.each([
    [1, 1, 1, 1],
    [2, 3, 2, 1],
  ])('has the gradients of finite differences: B %i, T %i, H %i, d %i', (...size) => {
    tf.tidy(() => {
      const given = cell(size);
      const found = gradients(given);
      const step = 1 / 128;
      for (const [at, name] of names.entries()) {
        const start = given[name].dataSync();
        const weigh = (index: number, by: number) => {
          const moved = Float32Array.from(start);
          moved[index] += by;
          const y = slstmCell({ ...given, [name]: tf.tensor(moved, given[name].shape) });
          return tf.sum(tf.mul(y, noise(y.shape, 'dy'))).dataSync()[0];
        };
        // 2e-3: central differences of step 1/128 are off by step² times a third derivative near 1, and by rounding.
        for (let index = 0; index < start.length; index++)
          expect(
            Math.abs((weigh(index, step) - weigh(index, -step)) / (2 * step) - found[at][index]),
            name,
          ).toBeLessThan(2e-3);
      }
    });
  });

  // 1e-5 and 1e-4: float32 sums in other orders, through gates that each read what the one before rounded.
  it.each([
    [2, 1, 1, 3],
    [3, 17, 2, 5],
  ])('the kernel agrees with the composition: B %i, T %i, H %i, d %i', (...size) => {
    tf.tidy(() => {
      const given = cell(size);
      const both = () => [slstmCell(given).dataSync(), ...gradients(given)];
      const due = withReference(both);
      // With one token the gradient of i is a difference of equal terms near 1.
      for (const [at, value] of both().entries())
        expect(relativeError(value, due[at]) * Math.min(1, Math.max(...due[at].map(Math.abs)))).toBeLessThan(
          at ? 1e-4 : 1e-5,
        );
    });
  });

  it('survives preactivations of a hundred and more, forward and backward', () => {
    tf.tidy(() => {
      const given = cell([2, 17, 2, 3], 100);
      const y = slstmCell(given).dataSync();
      // c / n is a weighted mean of tanh, so |h| is at most 1; 1e-6 for rounding.
      expect(y.every((h) => Math.abs(h) <= 1 + 1e-6)).toBe(true);
      for (const gradient of gradients(given)) expect(gradient.every(Number.isFinite)).toBe(true);
    });
  });

  it('answers with the newest cell input where the input gate outweighs the past', () => {
    tf.tidy(() => {
      const given = cell([1, 5, 1, 2]);
      const rising = tf.tensor3d([0, 0, 40, 40, 80, 80, 120, 120, 160, 160], [1, 5, 2]);
      const y = slstmCell({ ...given, i: rising, r: tf.zeros([4, 1, 2, 2]), b: tf.zeros([4, 2]) });
      const [h, z, o] = [y, given.z, given.o].map((u) => u.dataSync());
      for (let at = 0; at < h.length; at++) expect(h[at]).toBeCloseTo(Math.tanh(z[at]) / (1 + Math.exp(-o[at])), 5);
    });
  });
});
