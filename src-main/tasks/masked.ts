// Tokens to fill in: any text as the masked objective reads it, after BERT (Devlin et al. 2018, section 3.1 and appendix A.1).
import type { GapPart } from '../spec/gap';
import { stream } from '../spec/random';
import type { Split, TaskData } from './define';

/** Of the chosen tokens this share is hidden by the mask token; of the others half are replaced by a random token, half stay. */
const HIDDEN = 0.8;
const REPLACED = 0.9;

/** How many tokens of a row are chosen: always the same number for rows of one length, one at least. */
export const chosenCount = (tokens: number, ratio: number): number =>
  Math.min(tokens, Math.max(1, Math.round(ratio * tokens)));

/**
 * The places of a row that are chosen, in rising order: a pure function of its keys.
 * @param keys what tells this row from others, e.g. `seed, 'train', row`.
 */
export const chosenPlaces = (tokens: number, ratio: number, ...keys: readonly (string | number)[]): number[] =>
  stream('masked', 1, ...keys)
    .distinct(chosenCount(tokens, ratio), 0, tokens - 1)
    .sort((a, b) => a - b);

/**
 * The same rows with a share of their tokens chosen; those are the targets, at their own places. The vocabulary grows by the mask
 * token, since every id of the task's own may stand in its data. Training rows are chosen anew by seed and index, validation rows
 * always alike.
 */
export function maskedData(data: TaskData, { ratio, seed }: { ratio: number; seed: number }): TaskData {
  const maskToken = data.vocabulary;
  return {
    ...data,
    vocabulary: data.vocabulary + 1,
    maskToken,
    batch(split: Split, index, size) {
      const { inputs: whole, tokens, tags } = data.batch(split, index, size);
      const inputs = Int32Array.from(whole);
      const mask = new Uint8Array(size * tokens);
      for (let b = 0; b < size; b++) {
        const row = index * size + b;
        const keys = split === 'train' ? [seed, split, row] : [split, row];
        const random = stream('masked-by', 1, ...keys);
        for (const t of chosenPlaces(tokens, ratio, ...keys)) {
          const at = b * tokens + t;
          mask[at] = 1;
          const how = random.uniform();
          if (how < HIDDEN) inputs[at] = maskToken;
          else if (how < REPLACED) inputs[at] = random.below(data.vocabulary);
        }
      }
      return { size, tokens, inputs, targets: whole, mask, tags };
    },
    decode: (ids) => {
      // The mask token has no text of its own; runs of others are decoded together, since a character may take several.
      let text = '';
      let from = 0;
      const all = Array.from(ids);
      for (let i = 0; i <= all.length; i++) {
        if (i < all.length && all[i] !== maskToken) continue;
        if (i > from) text += data.decode(all.slice(from, i));
        if (i < all.length) text += MASK_SIGN;
        from = i + 1;
      }
      return text;
    },
  };
}

/** How the mask token reads. */
export const MASK_SIGN = '_';

/** Ids of a text with gaps: each `_` stands for one hidden token, `\\_` for an underscore. */
export function readGaps(text: string, { encode, maskToken }: Pick<TaskData, 'encode' | 'maskToken'>): number[] {
  if (maskToken === undefined) throw new Error('internal: a task without a mask token has no gaps');
  return text
    .split(/(\\_|_)/)
    .flatMap((part) =>
      part === MASK_SIGN ? [maskToken] : part ? encode(part === `\\${MASK_SIGN}` ? MASK_SIGN : part) : [],
    );
}

/** A text with gaps, cut where it changes between what was given, what was filled in, and what is still open. */
export function gapParts(
  given: ArrayLike<number>,
  ids: ArrayLike<number>,
  { decode, maskToken }: Pick<TaskData, 'decode' | 'maskToken'>,
): GapPart[] {
  const kindAt = (t: number): GapPart['kind'] =>
    given[t] !== maskToken ? 'given' : ids[t] === maskToken ? 'open' : 'filled';
  const parts: GapPart[] = [];
  const all = Array.from(ids);
  for (let from = 0, t = 1; t <= all.length; t++) {
    if (t < all.length && kindAt(t) === kindAt(from)) continue;
    parts.push({ kind: kindAt(from), text: decode(all.slice(from, t)) });
    from = t;
  }
  return parts;
}
