// Dropout of a tensor in a training step: by the kernel, or by a mask worked out in JavaScript where a device has none.
import type { Tensor } from '@tensorflow/tfjs-core';
import { dropout } from '../../../kernels/dropout/kernel';
import { kept } from '../../../kernels/dropout/plain';
import { bind, tf } from '../../ops';
import type { Chance } from '../define';

const drop = bind(dropout, {
  replaces({ x, counter }, attrs) {
    const [step, row] = counter!.dataSync();
    const stays = tf.tensor(kept(x!.shape, attrs, step, row), x!.shape, 'bool');
    return { y: tf.where(stays, tf.div(x!, 1 - Number(attrs.rate)), tf.zerosLike(x!)) };
  },
});

/** x [B, ..] with a share of its numbers at zero and the rest divided by what stays; x itself without chance, or at rate 0. */
export function dropped<T extends Tensor>(x: T, rate: number, chance: Chance | undefined): T {
  if (!chance || rate === 0) return x;
  const { seed, site, counter } = chance;
  return drop({ x, counter }, { rate, seed, site }).y as T;
}
