// The matrix memory: golden cases, its forms against each other, and gates at both ends.
import { expect } from 'vitest';
import { describeBlock, noise } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { tf } from '../../ops';
import block from './block';
import { mlstmCell } from './fused';
import { type Cell, chunkwise, type Gates, recurrent } from './reference';

const gates: Gates = { forgetGate: 'sigmoid', eps: 1e-6 };

/** A cell with random content; gates of the given spread. */
function cell([B, H, T, d]: number[], spread = 1): Cell {
  const big = (name: string) => noise([B, H, T, d], name);
  return {
    q: big('q'),
    k: big('k'),
    v: big('v'),
    i: noise([B, H, T], 'i', spread),
    f: noise([B, H, T], 'f', spread),
  } as Cell;
}

/** y and the gradients of a random weighting of it. */
function results(form: (cell: Cell) => tf.Tensor, given: Cell): Record<string, ArrayLike<number>> {
  const names = Object.keys(given) as (keyof Cell)[];
  const y = form(given);
  const scalar = (...values: tf.Tensor[]) => {
    const own = Object.fromEntries(names.map((name, at) => [name, values[at]])) as unknown as Cell;
    return tf.sum(tf.mul(form(own), noise(y.shape, 'dy')));
  };
  const gradients = tf.grads(scalar)(names.map((name) => given[name]));
  return {
    y: y.dataSync(),
    ...Object.fromEntries(names.map((name, at) => [`d${name}`, gradients[at].dataSync()])),
  };
}

function same(a: Record<string, ArrayLike<number>>, b: Record<string, ArrayLike<number>>, tolerance: number) {
  for (const name of Object.keys(b)) expect(relativeError(a[name], b[name]), name).toBeLessThan(tolerance);
}

describeBlock(block, ({ golden, it }) => {
  golden();

  // 5e-5: float32 sums in other orders, and a stabiliser from 0 against one from −∞, which shows through eps.
  it.each([
    [1, 1, 1, 1],
    [2, 3, 7, 1],
    [1, 2, 13, 5],
  ])('kernel, chunks of any length and the recurrence agree: B %i, H %i, T %i, d %i', (...size) => {
    tf.tidy(() => {
      const given = cell(size);
      for (const forgetGate of ['sigmoid', 'exp'] as const) {
        const chosen = { ...gates, forgetGate };
        const written = results((c) => recurrent(c, chosen).y, given);
        same(
          results((c) => mlstmCell(c, chosen), given),
          written,
          5e-5,
        );
        for (const chunk of [1, 4, 64])
          same(
            results((c) => chunkwise(c, chosen, { chunk }), given),
            written,
            5e-5,
          );
      }
    });
  });

  it('survives gates of a hundred and more, forward and backward', () => {
    tf.tidy(() => {
      const given = cell([1, 2, 21, 4], 100);
      const whole = results((c) => chunkwise(c, gates), given);
      // 2e-4: exponents of several hundred are good to 3e-5 in float32, and their rounding differs between the forms. A token that
      // outweighs all others makes y free of q and k, so that their gradients cancel: those are held to the size of the largest.
      const others = [(c: Cell) => chunkwise(c, gates, { chunk: 5 }), (c: Cell) => mlstmCell(c, gates)];
      const scale = Math.max(...Object.values(whole).flatMap((values) => Array.from(values, Math.abs)));
      for (const other of others.map((form) => results(form, given)))
        for (const name of Object.keys(whole))
          for (let at = 0; at < whole[name].length; at++)
            expect(Math.abs(other[name][at] - whole[name][at]) / scale, name).toBeLessThan(2e-4);
      expect(relativeError(recurrent(given, gates).y.dataSync(), whole.y)).toBeLessThan(2e-4);
      const first = { ...given, i: tf.fill([1, 2, 21], -100) as tf.Tensor3D };
      for (const form of [(c: Cell) => chunkwise(c, gates, { chunk: 8 }), (c: Cell) => mlstmCell(c, gates)])
        for (const values of Object.values(results(form, first)))
          expect(Array.from(values).every(Number.isFinite)).toBe(true);
    });
  });

  it('stays exact while gates above 1 let the memory grow by e^5 a token', () => {
    tf.tidy(() => {
      const given = cell([1, 2, 67, 4]);
      const growing = { ...given, f: tf.add(given.f, 5) as tf.Tensor3D };
      // eps is felt at the scale of the stabiliser, whose start differs between the forms.
      const chosen = { forgetGate: 'exp' as const, eps: 0 };
      const written = results((c) => recurrent(c, chosen).y, growing);
      same(
        results((c) => mlstmCell(c, chosen), growing),
        written,
        5e-5,
      );
      for (const chunk of [16, 64, 67])
        same(
          results((c) => chunkwise(c, chosen, { chunk }), growing),
          written,
          5e-5,
        );
    });
  });

  it('forgets everything before a token that writes with full strength', () => {
    tf.tidy(() => {
      const given = cell([1, 1, 6, 3]);
      const strong = tf.tensor3d([0, 0, 60, 0, 0, 0], [1, 1, 6]);
      const y = chunkwise({ ...given, i: strong, f: tf.fill([1, 1, 6], 40) as tf.Tensor3D }, gates);
      const value = tf.slice(given.v, [0, 0, 2, 0], [1, 1, 1, 3]).dataSync();
      const last = tf.slice(y, [0, 0, 5, 0], [1, 1, 1, 3]).dataSync();
      // The memory holds one pair: reading it by any key gives plus or minus its value.
      const sign = Math.sign(last[0] / value[0]);
      for (let c = 0; c < 3; c++) expect(sign * last[c]).toBeCloseTo(value[c], 4);
    });
  });
});
