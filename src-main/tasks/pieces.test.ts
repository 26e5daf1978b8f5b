// Pieces of a text: whole characters only, and nothing lost or changed, whatever the bytes.
import { describe, expect, it } from 'vitest';
import { stream } from '../spec/random';
import { pieces } from './pieces';

const decode = (ids: readonly number[]) => Buffer.from(Uint8Array.from(ids)).toString('utf8');
const run = (bytes: readonly number[]) => {
  const { add, rest } = pieces(decode);
  return [...bytes.map(add), rest()];
};

describe('pieces', () => {
  it('wait for the last byte of a character', () => {
    expect(run([...Buffer.from('aд€🙂')])).toEqual(['a', '', 'д', '', '', '€', '', '', '', '🙂', '']);
  });
  it('give an unfinished character at the end', () => {
    expect(run([0x61, 0xe2, 0x82]).join('')).toBe('a\ufffd');
  });
  it('join to the text of all bytes, also where they are no UTF-8', () => {
    const draw = stream('pieces', 1);
    const likely = [0x61, 0x80, 0xbf, 0xc3, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0xff, 0xed];
    for (let i = 0; i < 500; i++) {
      const bytes = Array.from({ length: 30 }, () => likely[draw.below(likely.length)]);
      const parts = run(bytes);
      expect(parts.join(''), bytes.join(' ')).toBe(decode(bytes));
    }
  });
  it('do not wait longer than a character can', () => {
    const { add } = pieces(decode);
    let waiting = 0;
    for (let i = 0; i < 50; i++) waiting = add(0x80) ? 0 : waiting + 1;
    expect(waiting).toBeLessThan(4);
  });
});
