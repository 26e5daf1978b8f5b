// Makes the windows of a text: random ones to train on from its first part, fixed ones to validate on from the rest.
import { createHash } from 'node:crypto';
import { SpecError } from '../../spec/error';
import { stream } from '../../spec/random';
import type { Batch, Split, TaskContext, TaskData } from '../define';
import { readSource } from './source';
import { byteVocabulary, characterVocabulary } from './vocabulary';

export interface TextOptions {
  source: string;
  vocabulary: 'bytes' | 'characters';
  tokens: number;
  trainShare: number;
}

/**
 * A text as a task. The cut between the parts is one place in the text and no window crosses it, so what validates is never trained on.
 * @throws SpecError for a source that can't be read, or is too short for one window of T + 1 tokens in each part.
 */
export function makeText(options: TextOptions, { seed, lab }: TaskContext): TaskData {
  const { source, tokens: T, trainShare } = options;
  const bytes = readSource(source, lab);
  const vocabulary = options.vocabulary === 'bytes' ? byteVocabulary(bytes) : characterVocabulary(bytes);
  const { ids } = vocabulary;
  const cut = Math.round(ids.length * trainShare);
  const parts = { train: ids.subarray(0, cut), validation: ids.subarray(cut) };
  const shorter = Math.min(parts.train.length, parts.validation.length);
  if (shorter < T + 1)
    throw new SpecError([
      {
        path: 'run.task.options.source',
        message: `the text has ${ids.length} ${options.vocabulary}, of which ${parts.train.length} train and ${parts.validation.length} validate; a window of ${T} tokens and the one to predict wants ${T + 1} in each part`,
        hint:
          shorter < 2
            ? 'take a longer text'
            : `take a longer text, or a context length (tokens) of at most ${shorter - 1}`,
      },
    ]);

  // Validation windows do not overlap. Evaluations that take a few get them from all over the part: steps of about 0.618 of the whole.
  const windows = Math.floor((parts.validation.length - 1) / T);
  const stride = coprimeNear(windows, Math.round(windows * 0.618));
  const startOf = (split: Split, row: number): number =>
    split === 'train'
      ? stream('text', 1, seed, 'train', row).below(parts.train.length - T)
      : ((row * stride) % windows) * T;

  return {
    vocabulary: vocabulary.size,
    tokens: T,
    round: 1,
    batch(split, index, size): Batch {
      const part = parts[split];
      const inputs = new Int32Array(size * T);
      const targets = new Int32Array(size * T);
      for (let b = 0; b < size; b++) {
        const start = startOf(split, index * size + b);
        inputs.set(part.subarray(start, start + T), b * T);
        targets.set(part.subarray(start + 1, start + T + 1), b * T);
      }
      return { size, tokens: T, inputs, targets, mask: null };
    },
    sizes: { train: parts.train.length, validation: parts.validation.length },
    encode: vocabulary.encode,
    decode: vocabulary.decode,
    prompt: promptOf(parts.validation, options.vocabulary),
    fingerprint: createHash('sha256').update(bytes).digest('hex'),
    levels: {
      'loss of a uniform guess': Math.log(vocabulary.size),
      'loss of counting tokens': countingLoss(parts.train, parts.validation, vocabulary.size),
    },
  };
}

/** The first words of what the model never trains on: up to 64 tokens, not cut inside a UTF-8 character. */
function promptOf(validation: Uint8Array | Uint16Array, vocabulary: TextOptions['vocabulary']): number[] {
  const isContinuation = (id: number) => vocabulary === 'bytes' && (id & 0xc0) === 0x80;
  let from = 0;
  while (from < 4 && from < validation.length - 1 && isContinuation(validation[from])) from += 1;
  let to = Math.min(from + 64, validation.length);
  while (to > from + 1 && to < validation.length && isContinuation(validation[to])) to -= 1;
  return Array.from(validation.subarray(from, to));
}

/** Cross-entropy in nats of the training part's token counts (plus one each) on the validation part: what context-free guessing reaches. */
function countingLoss(train: ArrayLike<number>, validation: ArrayLike<number>, size: number): number {
  const counts = new Float64Array(size).fill(1);
  for (let i = 0; i < train.length; i++) counts[train[i]] += 1;
  const seen = new Float64Array(size);
  for (let i = 0; i < validation.length; i++) seen[validation[i]] += 1;
  const total = train.length + size;
  return seen.reduce((sum, n, id) => sum - n * Math.log(counts[id] / total), 0) / validation.length;
}

/** The number from `near` on that shares no divisor with n, so that its multiples run through all of 0 … n - 1. */
function coprimeNear(n: number, near: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  let k = Math.max(1, near);
  while (divisor(k, n) !== 1) k += 1;
  return k;
}
