// Texts as the user gives them: what is read, what is passed over, and why the rest is refused.
import { describe, expect, it } from 'vitest';
import { chosen, dropped, MAX_BYTES, readTexts } from './texts';

const file = (name: string, content: BlobPart) => new File([content], name);
const latin1 = new Uint8Array([0x63, 0x61, 0x66, 0xe9]);

/** A folder as a browser hands it over. */
const entry = (name: string, content: BlobPart | object[]): object =>
  Array.isArray(content)
    ? {
        name,
        isDirectory: true,
        createReader: () => {
          const parts = [content, []];
          return { readEntries: (done: (some: object[]) => void) => done(parts.shift() as object[]) };
        },
      }
    : { name, isFile: true, file: (done: (one: File) => void) => done(file(name, content)) };
const transfer = (...entries: object[]) =>
  ({
    items: entries.map((one) => ({ kind: 'file', webkitGetAsEntry: () => one })),
    files: [],
  }) as unknown as DataTransfer;

describe('texts', () => {
  it('are read as UTF-8', async () => {
    expect(await readTexts(chosen([file('a.txt', 'дом'), file('b.txt', 'сад')]))).toEqual([
      { name: 'a.txt', text: 'дом' },
      { name: 'b.txt', text: 'сад' },
    ]);
  });

  it('that are none are refused by name, and never changed on the way', async () => {
    expect(await readTexts(chosen([file('a.txt', 'a'), file('e.txt', '')]))).toEqual({
      why: 'textEmpty',
      file: 'e.txt',
    });
    expect(await readTexts(chosen([file('l.txt', latin1)]))).toEqual({ why: 'textBinary', file: 'l.txt' });
    expect(await readTexts(chosen([file('z.bin', 'a\0b')]))).toEqual({ why: 'textBinary', file: 'z.bin' });
    const large = Object.defineProperty(file('x.txt', 'x'), 'size', { value: MAX_BYTES + 1 });
    expect(await readTexts(chosen([large]))).toEqual({ why: 'textTooBig', file: 'x.txt' });
  });

  it('of a folder are found at any depth, without hidden files and what is no text', async () => {
    const given = await dropped(
      transfer(
        entry('book', [
          entry('2.txt', 'two'),
          entry('.git', [entry('secret', 's')]),
          entry('picture.png', latin1),
          entry('part', [entry('1.txt', 'one')]),
        ]),
      ),
    );
    expect(given).toMatchObject({ name: 'book', folder: true });
    expect(await readTexts(given)).toEqual([
      { name: 'book/2.txt', text: 'two' },
      { name: 'book/part/1.txt', text: 'one' },
    ]);
    expect(await readTexts(await dropped(transfer(entry('none', []))))).toEqual({ why: 'textNone', file: 'none' });
  });
});
