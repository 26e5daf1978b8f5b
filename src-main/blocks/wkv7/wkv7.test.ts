// The generalised delta rule: golden cases, the gradients of kernel and composition against that of the recurrence, strong decay, and what it stores.
import { expect } from 'vitest';
import { describeBlock, noise } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { tf, withReference } from '../../ops';
import block from './block';
import { wkv } from './fused';
import { type Rule, recurrent, SEGMENT } from './reference';

const names = ['r', 'w_log', 'k', 'v', 'a', 'b'] as const;

/** Directions a = −κ and b = κ·rate with κ of length 1, as the layer makes them; decays of up to `decay` a token. */
function rule([B, H, T, N]: number[], decay = 0.6): Rule {
  const plain = (name: string) => noise([B, H, T, N], name);
  const kappa = tf.div(plain('kappa'), tf.norm(plain('kappa'), 2, 3, true));
  return {
    r: plain('r'),
    w_log: tf.mul(tf.sigmoid(plain('w')), -decay),
    k: plain('k'),
    v: plain('v'),
    a: tf.neg(kappa),
    b: tf.mul(kappa, tf.sigmoid(plain('rate'))),
  } as Rule;
}

function results(form: (rule: Rule) => tf.Tensor, given: Rule): Record<string, ArrayLike<number>> {
  const y = form(given);
  const scalar = (...values: tf.Tensor[]) => {
    const own = Object.fromEntries(names.map((name, at) => [name, values[at]])) as unknown as Rule;
    return tf.sum(tf.mul(form(own), noise(y.shape, 'dy')));
  };
  const gradients = tf.grads(scalar)(names.map((name) => given[name]));
  return { y: y.dataSync(), ...Object.fromEntries(names.map((name, at) => [`d${name}`, gradients[at].dataSync()])) };
}

describeBlock(block, ({ golden, it }) => {
  golden();

  // 2e-5: the same products in another order.
  it.each([
    [1, 1, 1, 1],
    [2, 3, SEGMENT, 1],
    [1, 2, SEGMENT + 1, 5],
    [1, 1, 2 * SEGMENT + 3, 4],
  ])('gradients are those of the recurrence: B %i, H %i, T %i, N %i', (...size) => {
    tf.tidy(() => {
      const given = rule(size);
      const written = results((one) => recurrent(one).y, given);
      for (const found of [results(wkv, given), withReference(() => results(wkv, given))])
        for (const name of Object.keys(written))
          expect(relativeError(found[name], written[name]), name).toBeLessThan(2e-5);
    });
  });

  it('stays exact under decays of hundreds, which leave only the newest pair', () => {
    tf.tidy(() => {
      const given = rule([1, 2, 20, 3], 500);
      for (const values of Object.values(results(wkv, given)))
        expect(Array.from(values).every(Number.isFinite)).toBe(true);
      const none = { ...given, a: tf.zerosLike(given.a), w_log: tf.fill([1, 2, 20, 3], -500) as tf.Tensor4D };
      const due = tf.mul(given.v, tf.sum(tf.mul(given.k, given.r), 3, true));
      expect(relativeError(wkv(none).dataSync(), due.dataSync())).toBeLessThan(1e-6);
    });
  });

  it('overwrites: with rate 1 a key gives back the value stored last', () => {
    tf.tidy(() => {
      const size = [1, 1, 3, 2];
      const key = tf.tensor4d([1, 0, 0, 1, 1, 0], size as [number, number, number, number]);
      const v = noise(size, 'v') as tf.Tensor4D;
      const y = wkv({ r: key, w_log: tf.zerosLike(key), k: key, v, a: tf.neg(key), b: key });
      expect(relativeError(y.dataSync(), v.dataSync())).toBeLessThan(1e-6);
    });
  });
});
