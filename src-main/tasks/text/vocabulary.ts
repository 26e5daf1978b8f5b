// Vocabularies of a text: its bytes, or its characters.
import { SpecError } from '../../spec/error';

export interface Vocabulary {
  size: number;
  /** The whole text as ids. */
  ids: Uint8Array | Uint16Array;
  encode(text: string): number[];
  decode(ids: ArrayLike<number>): string;
}

/** Every byte is its own id: 256 of them, and any file fits. */
export function byteVocabulary(bytes: Uint8Array): Vocabulary {
  return {
    size: 256,
    ids: bytes,
    encode: (text) => [...Buffer.from(text)],
    decode: (ids) => Buffer.from(Uint8Array.from(ids)).toString('utf8'),
  };
}

/** Stands for a character that the text does not have; its id is 0. */
const UNKNOWN = '\ufffd';
const MAX_CHARACTERS = 65_535;

/**
 * Each character (Unicode code point) of the text is an id from 1 on, in their order; 0 stands for any other.
 * @throws SpecError if the bytes are not UTF-8, or the text has more characters than fit.
 */
export function characterVocabulary(bytes: Uint8Array): Vocabulary {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new SpecError([
      {
        path: 'run.task.options.vocabulary',
        message: 'the text is not UTF-8, so it has no characters to count',
        hint: 'take the vocabulary bytes, or save the text as UTF-8',
        fix: 'bytes',
      },
    ]);
  }
  const characters = [...new Set(text)].filter((c) => c !== UNKNOWN).sort();
  if (characters.length > MAX_CHARACTERS)
    throw new SpecError([
      {
        path: 'run.task.options.vocabulary',
        message: `the text has ${characters.length} different characters; at most ${MAX_CHARACTERS} fit`,
        hint: 'take the vocabulary bytes',
        fix: 'bytes',
      },
    ]);
  const table = [UNKNOWN, ...characters];
  const idOf = new Map(table.map((c, id) => [c, id]));
  const ids = new Uint16Array(text.length);
  let count = 0;
  for (const c of text) ids[count++] = idOf.get(c)!;
  return {
    size: table.length,
    ids: ids.subarray(0, count),
    encode: (given) => [...given].map((c) => idOf.get(c) ?? 0),
    decode: (given) => Array.from(given, (id) => table[id] ?? UNKNOWN).join(''),
  };
}
