// Rows of a table by token id.
import type { Tensor } from '@tensorflow/tfjs-core';
import { embedding as embeddingKernel } from '../../../kernels/embedding/kernel';
import { bind, tf } from '../../ops';

const look = bind(embeddingKernel, {
  replaces: ({ table, ids }) => ({ y: tf.gather(table!, ids as Tensor) }),
});

/** table [V, D], ids [..] int32 in 0..V-1 to [.., D]. */
export const embed = (table: Tensor, ids: Tensor): Tensor => look({ table, ids }, {}).y;
