// Tensors that move to where they are read fastest: numbers and sharers stay, and they can be written in place.
import { beforeAll, describe, expect, it } from 'vitest';
import { copyInto, keepTogether, memoryFacts, tf, useDevice } from '.';

describe('tensors that live long', () => {
  beforeAll(async () => {
    await useDevice('cpu');
  });

  it('keep their numbers and those who share them', () => {
    const floats = tf.tensor1d([1, 2, 3]);
    const ints = tf.tensor2d([4, 5, 6, 7], [2, 2], 'int32');
    const shares = tf.reshape(floats, [3, 1]);
    const { bytes } = memoryFacts();
    keepTogether([floats, ints, shares, floats]);
    keepTogether([]);
    expect(memoryFacts().bytes).toBe(bytes);
    expect([...floats.dataSync()]).toEqual([1, 2, 3]);
    expect([...ints.dataSync()]).toEqual([4, 5, 6, 7]);
    expect([...shares.dataSync()]).toEqual([1, 2, 3]);
    tf.dispose([floats, ints, shares]);
  });

  it('can be written in place, alone', () => {
    const [weight, other, value] = [
      [1, 2],
      [3, 4],
      [8, 9],
    ].map((numbers) => tf.tensor1d(numbers));
    keepTogether([weight, other]);
    expect(copyInto(weight, value)).toBe(true);
    expect([...weight.dataSync()]).toEqual([8, 9]);
    expect([...other.dataSync()]).toEqual([3, 4]);
    tf.dispose([weight, other, value]);
  });
});
