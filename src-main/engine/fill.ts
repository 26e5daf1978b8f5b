// Fills in hidden tokens: passes over the whole sequence, each with a seeded choice for the places the model is surest of.
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
  /**
   * In how many passes: each fills an even share of what is open, the choices that the model holds likeliest first, and the next pass reads
   * them (Mask-Predict, Ghazvininejad et al. 2019; the order after MaskGIT, Chang et al. 2022). 1 (default): all at once.
   */
  passes?: number;
  /** Called after each pass with the tokens as they stand; false ends the work there, what is open stays open. */
  onPass?(ids: readonly number[], open: number): boolean | undefined | Promise<boolean | undefined>;
}

interface Choice {
  /** Place in the sequence. */
  at: number;
  id: number;
  /** The model's own share of the chosen token, the mask left out. */
  share: number;
}

/**
 * The tokens with every mask token replaced by one that the model takes to stand there.
 * @throws SpecError for ids outside the vocabulary, and more tokens than a learned position table has.
 */
export async function fillIn(model: Model, given: readonly number[], options: FillOptions): Promise<number[]> {
  const { maskToken, seed, passes = 1, onPass } = options;
  const wrong = given.find((id) => !Number.isInteger(id) || id < 0 || id >= model.vocabulary);
  if (wrong !== undefined)
    throw new SpecError(`token ${wrong} of the text is not a whole number from 0 to ${model.vocabulary - 1}`);
  if (!Number.isInteger(passes) || passes < 1)
    throw new SpecError(`passes ${passes} does not fit: it wants a whole number from 1 on`);
  const ids = [...given];
  const draw = stream('fill-in', seed);
  const uniform = () => draw.uniform();
  let open = ids.filter((id) => id === maskToken).length;
  for (let left = Math.min(passes, open); open > 0; left--) {
    const choices = await chooseAll(model, ids, uniform, options);
    choices.sort((a, b) => b.share - a.share || a.at - b.at);
    for (const { at, id } of choices.slice(0, Math.ceil(open / left))) {
      ids[at] = id;
      open -= 1;
    }
    if ((await onPass?.(ids, open)) === false) break;
  }
  return ids;
}

/** A choice for each open place, from one pass over all tokens. */
async function chooseAll(
  model: Model,
  ids: readonly number[],
  uniform: () => number,
  { maskToken, ...sampling }: FillOptions,
): Promise<Choice[]> {
  const V = model.vocabulary;
  const logits = tf.tidy(() => model.logits(tf.tensor2d(Int32Array.from(ids), [1, ids.length], 'int32') as Tensor2D)); // [1, T, V]
  try {
    const values = (await logits.data()) as Float32Array;
    const choices: Choice[] = [];
    for (const [at, old] of ids.entries()) {
      if (old !== maskToken) continue;
      const row = Array.from(values.subarray(at * V, (at + 1) * V));
      // Never the mask itself: all others are before it in every order.
      row[maskToken] = Math.min(...row) - 1e4;
      const id = choose(row, uniform(), sampling);
      const most = Math.max(...row);
      const total = row.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
      choices.push({ at, id, share: Math.exp(row[id] - most) / total });
    }
    return choices;
  } finally {
    logits.dispose();
  }
}
