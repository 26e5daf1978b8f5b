// The weighted mean: golden cases, kernel and scan with their gradients against the recurrence, and keys at both ends.
import { expect } from 'vitest';
import { describeBlock, noise } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { tf, withReference } from '../../ops';
import block from './block';
import { wkv } from './fused';
import { type Mean, recurrent } from './reference';

function mean([B, T, C]: number[], { spread = 1, decay = 1 } = {}): Mean {
  return {
    k: noise([B, T, C], 'k', spread),
    v: noise([B, T, C], 'v'),
    w: tf.mul(tf.exp(noise([C], 'w', 2)), -decay),
    u: noise([C], 'u'),
  } as Mean;
}
const names = ['k', 'v', 'w', 'u'] as const;

/** y and the gradients of a random weighting of it. */
function results(form: (mean: Mean) => tf.Tensor, given: Mean): Record<string, ArrayLike<number>> {
  const y = form(given);
  const scalar = (...values: tf.Tensor[]) => {
    const own = Object.fromEntries(names.map((name, at) => [name, values[at]])) as unknown as Mean;
    return tf.sum(tf.mul(form(own), noise(y.shape, 'dy')));
  };
  const gradients = tf.grads(scalar)(names.map((name) => given[name]));
  return { y: y.dataSync(), ...Object.fromEntries(names.map((name, at) => [`d${name}`, gradients[at].dataSync()])) };
}

describeBlock(block, ({ golden, it }) => {
  golden();

  // 2e-5: float32 sums in other orders, with exponents near 10.
  it.each([
    [2, 2, 1],
    [2, 13, 3],
    [1, 33, 2],
  ])('kernel, scan and recurrence agree, forward and backward: B %i, T %i, C %i', (...size) => {
    tf.tidy(() => {
      for (const decay of [0.01, 1]) {
        const given = mean(size, { decay });
        const written = results((m) => recurrent(m).y, given);
        for (const found of [results(wkv, given), withReference(() => results(wkv, given))])
          for (const name of Object.keys(written))
            expect(relativeError(found[name], written[name]), name).toBeLessThan(2e-5);
      }
    });
  });

  it('of one token is its value, whatever the decay', () => {
    tf.tidy(() => {
      const given = mean([2, 1, 3]);
      const { y, dk, dv, dw, du } = results(wkv, given);
      expect(Array.from(y)).toEqual(Array.from(given.v.dataSync()));
      expect(Array.from(dv)).toEqual(Array.from(noise([2, 1, 3], 'dy').dataSync()));
      for (const gradient of [dk, dw, du]) expect(Math.max(...Array.from(gradient, Math.abs))).toBe(0);
    });
  });

  it('survives keys of hundreds, forward and backward', () => {
    tf.tidy(() => {
      const found = results(wkv, mean([2, 50, 3], { spread: 150 }));
      for (const values of Object.values(found)) expect(Array.from(values).every(Number.isFinite)).toBe(true);
      // A weighted mean stays within what it is a mean of.
      const largest = Math.max(...noise([2, 50, 3], 'v').dataSync().map(Math.abs));
      expect(Array.from(found.y).every((y) => Math.abs(y) <= largest * (1 + 1e-6))).toBe(true);
    });
  });

  it('keeps the sums of decoding true while their exponents lose digits', () => {
    tf.tidy(() => {
      const given = mean([1, 100, 8], { spread: 50, decay: 0.02 });
      const { aa, bb } = recurrent(given).past;
      const [k, v, w] = (['k', 'v', 'w'] as const).map((name) => given[name].dataSync());
      const [numerators, denominators] = [new Float64Array(8), new Float64Array(8)];
      for (let c = 0; c < 8; c++) {
        const logs = Array.from({ length: 100 }, (_, t) => k[t * 8 + c] + (99 - t) * w[c]);
        const largest = Math.max(...logs);
        for (const [t, log] of logs.entries()) {
          denominators[c] += Math.exp(log - largest);
          numerators[c] += Math.exp(log - largest) * v[t * 8 + c];
        }
      }
      // 3e-5: exponents near 100 are good to 4e-6, and a new key is weighed by a difference of two.
      expect(relativeError(aa.dataSync(), numerators)).toBeLessThan(3e-5);
      expect(relativeError(bb.dataSync(), denominators)).toBeLessThan(3e-5);
    });
  });

  it('gives the first value first, and the mean of all where nothing fades', () => {
    tf.tidy(() => {
      const v = tf.tensor3d([3, 5, 10, -2], [1, 4, 1]);
      const none = tf.zeros([1]) as tf.Tensor1D;
      const y = wkv({ k: tf.zeros([1, 4, 1]) as tf.Tensor3D, v, w: none, u: none });
      for (const [t, due] of [3, 4, 6, 4].entries()) expect(y.dataSync()[t]).toBeCloseTo(due, 5);
    });
  });
});
