// The scan: golden cases, the three forms against each other, and strong decay in float32.
import { expect } from 'vitest';
import { describeBlock, noise } from '../../../test/suites/describe';
import { relativeError } from '../../engine/parity';
import { tf, withReference } from '../../ops';
import block from './block';
import { ssdScan } from './fused';
import { chunked, mixingMatrix, recurrent, type Scan, type Scanned } from './reference';

/** A scan with random content; `rate` is the size of A. */
function scan([b, T, H, P, G, N]: number[], { rate = 1, initial = true } = {}): Scan {
  return {
    x: noise([b, T, H, P], 'x'),
    dt: tf.softplus(noise([b, T, H], 'dt')),
    A: tf.mul(tf.add(tf.abs(noise([H], 'A')), 0.1), -rate),
    B: noise([b, T, G, N], 'B'),
    C: noise([b, T, G, N], 'C'),
    D: noise([H], 'D'),
    initialState: initial ? noise([b, H, P, N], 'S') : undefined,
  } as Scan;
}

/** y, the final state and the gradients of a random weighting of both. */
function results(form: (scan: Scan) => Scanned, given: Scan): Record<string, ArrayLike<number>> {
  const names = Object.keys(given).filter((name) => given[name as keyof Scan]);
  const tensors = names.map((name) => given[name as keyof Scan]!);
  const forward = form(given);
  const scalar = (...values: tf.Tensor[]) => {
    const { y, finalState } = form(Object.fromEntries(names.map((name, i) => [name, values[i]])) as unknown as Scan);
    return tf.add(tf.sum(tf.mul(y, noise(y.shape, 'dy'))), tf.sum(tf.mul(finalState, noise(finalState.shape, 'dS'))));
  };
  const gradients = tf.grads(scalar)(tensors);
  return {
    y: forward.y.dataSync(),
    finalState: forward.finalState.dataSync(),
    ...Object.fromEntries(names.map((name, i) => [`d${name}`, gradients[i].dataSync()])),
  };
}

function same(a: Record<string, ArrayLike<number>>, b: Record<string, ArrayLike<number>>, tolerance: number) {
  expect(Object.keys(a)).toEqual(Object.keys(b));
  for (const name of Object.keys(a)) expect(relativeError(a[name], b[name]), name).toBeLessThan(tolerance);
}

const sizes = [
  [1, 1, 1, 1, 1, 1],
  [2, 7, 4, 3, 2, 5],
  [1, 65, 2, 4, 1, 3],
];

describeBlock(block, ({ golden, it }) => {
  golden();

  // 2e-5: three float32 paths whose sums run in different orders over up to 65 tokens.
  it.each(sizes)('kernel, chunks and recurrence agree: b %i, T %i, H %i, P %i, G %i, N %i', (...size) => {
    tf.tidy(() => {
      const given = scan(size);
      const written = results(recurrent, given);
      same(results(ssdScan, given), written, 2e-5);
      withReference(() =>
        same(
          results((s) => chunked(s, { chunk: 5 }), given),
          written,
          2e-5,
        ),
      );
    });
  });

  it('does not depend on the chunk, one or all tokens', () => {
    tf.tidy(() => {
      const given = scan([1, 19, 2, 3, 1, 4], { initial: false });
      const whole = results((s) => chunked(s, { chunk: 64 }), given);
      for (const chunk of [1, 8, 19])
        same(
          results((s) => chunked(s, { chunk }), given),
          whole,
          2e-5,
        );
    });
  });

  it('stays finite under decays of several hundred a token', () => {
    tf.tidy(() => {
      const given = scan([1, 40, 2, 3, 1, 4], { rate: 500 });
      same(results(ssdScan, given), results(recurrent, given), 2e-5);
    });
  });

  it('is the product with its mixing matrix', () => {
    tf.tidy(() => {
      const given = scan([1, 11, 2, 3, 1, 4], { initial: false });
      const M = mixingMatrix(given); // [b, H, T, T]
      const mixed = tf.transpose(tf.matMul(M, tf.transpose(given.x, [0, 2, 1, 3])), [0, 2, 1, 3]);
      const y = chunked({ ...given, D: undefined }).y;
      expect(relativeError(mixed.dataSync(), y.dataSync())).toBeLessThan(1e-5);
    });
  });

  it('refuses groups that do not divide the heads, in a sentence', () => {
    tf.tidy(() => {
      const given = scan([1, 5, 4, 2, 3, 2], { initial: false });
      const inputs = given as unknown as Record<string, tf.Tensor>;
      expect(() => block.run(inputs, { options: {} })).toThrow("3 groups (B's third axis) do not divide the 4 heads");
    });
  });
});
