// Fills in hidden tokens: one pass over the whole sequence, then a seeded choice for each place.
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { tf } from '../ops';
import { SpecError } from '../spec/error';
import { stream } from '../spec/random';
import type { Model } from './build';
import { choose, type Sampling } from './generate';

export interface FillOptions extends Sampling {
  /** Id of the mask token; each place that holds it is filled, and never with it. */
  maskToken: number;
  seed: number;
}

/**
 * The tokens with every mask token replaced by one that the model takes to stand there.
 * @throws SpecError for ids outside the vocabulary, and more tokens than a learned position table has.
 */
export async function fillIn(model: Model, ids: readonly number[], options: FillOptions): Promise<number[]> {
  const { maskToken, seed } = options;
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= model.vocabulary);
  if (wrong !== undefined)
    throw new SpecError(`token ${wrong} of the text is not a whole number from 0 to ${model.vocabulary - 1}`);
  if (!ids.includes(maskToken)) return [...ids];
  const V = model.vocabulary;
  const logits = tf.tidy(() => model.logits(tf.tensor2d(Int32Array.from(ids), [1, ids.length], 'int32') as Tensor2D)); // [1, T, V]
  try {
    const values = (await logits.data()) as Float32Array;
    const draw = stream('fill-in', seed);
    return ids.map((id, t) => {
      if (id !== maskToken) return id;
      const row = Array.from(values.subarray(t * V, (t + 1) * V));
      // Never the mask itself: all others are before it in every order.
      row[maskToken] = Math.min(...row) - 1e4;
      return choose(row, draw.uniform(), options);
    });
  } finally {
    logits.dispose();
  }
}
