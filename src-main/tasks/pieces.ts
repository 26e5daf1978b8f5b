// Text of token ids as they come: no piece ends inside a character, and joined the pieces are the text of all ids.

/** No character of a text task takes more tokens: UTF-8 has up to four bytes, of which three may wait for the last. */
const LONGEST_WAIT = 3;
/** Stands for a part of a character, and for what is no text. */
const BROKEN = '\ufffd';

export interface Pieces {
  /** The text that is certain now; empty while a character is incomplete. */
  add(id: number): string;
  /** What still waits, at the end of the text. */
  rest(): string;
}

export function pieces(decode: (ids: readonly number[]) => string): Pieces {
  let waiting: number[] = [];
  return {
    add(id) {
      waiting.push(id);
      const text = decode(waiting);
      if (!text.endsWith(BROKEN)) {
        waiting = [];
        return text;
      }
      // The end may be the beginning of a character. A cut before it is safe where both sides read the same apart as together.
      for (let tail = LONGEST_WAIT; tail > 0; tail--) {
        if (waiting.length <= tail) continue;
        const [head, end] = [waiting.slice(0, -tail), waiting.slice(-tail)];
        const certain = decode(head);
        if (certain + decode(end) !== text) continue;
        waiting = end;
        return certain;
      }
      return '';
    },
    rest() {
      const text = waiting.length ? decode(waiting) : '';
      waiting = [];
      return text;
    },
  };
}
