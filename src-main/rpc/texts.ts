// The user's texts: added from the window, kept in the lab folder, where the text task reads them.
import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeWhole } from '../runs/folder';
import { SpecError } from '../spec/error';
import { insertText, listTexts, setTextDeleted, textIds } from '../store/text';
import type { Implementation, TextFile } from './contract';
import type { Lab } from './lab';
import { type Inputs, id, name, nothing } from './method';

const MAX_BYTES = 200 * 1024 * 1024;

export const inputs: Inputs<'texts'> = {
  list: nothing,
  add: z.strictObject({
    name,
    files: z.array(z.strictObject({ name: z.string().max(1000), text: z.string() })).max(100_000),
  }),
  remove: z.strictObject({ id }),
};

export const texts = ({ store, paths, tell, now }: Lab): Implementation['texts'] => ({
  list: () => listTexts(store),
  add({ name, files }) {
    const text = joined(files);
    const bytes = Buffer.byteLength(text);
    if (bytes === 0) {
      throw new SpecError([
        {
          path: 'files',
          message:
            files.length > 1
              ? `none of the ${files.length} files of ${name} has a single byte`
              : `${name} does not have a single byte`,
          hint: 'choose a file with text in it; a megabyte is a good start',
        },
      ]);
    }
    if (bytes > MAX_BYTES)
      throw new SpecError([
        {
          path: 'files',
          message: `${name} has ${bytes} bytes, which is more than the window can hand over (${MAX_BYTES})`,
          hint: 'give the text task the absolute path of the file as its source',
        },
      ]);
    const file: TextFile = { id: freshId(name, new Set(textIds(store))), name, bytes, addedAt: now() };
    mkdirSync(paths.texts, { recursive: true });
    writeWhole(join(paths.texts, `${file.id}.txt`), text);
    writeWhole(join(paths.texts, `${file.id}.json`), `${JSON.stringify(file)}\n`);
    insertText(store, file);
    tell({ kind: 'texts' });
    return file;
  },
  remove({ id }) {
    if (!setTextDeleted(store, id, now()))
      throw new SpecError(`there is no text ${JSON.stringify(id)} in this lab`, 'id');
    tell({ kind: 'texts' });
  },
});

/** One text of all files in order of their names, with a line between two. */
const joined = (files: { name: string; text: string }[]): string =>
  files
    .filter(({ text }) => text.length > 0)
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ text }) => text)
    .join('\n');

/** What a person recognises the text by, safe as a file name, and not taken. */
export function freshId(name: string, taken: ReadonlySet<string>): string {
  const plain = name
    .normalize('NFKD')
    .replace(/\.[a-z0-9]{1,5}$/i, '')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .toLowerCase()
    .slice(0, 40);
  for (;;) {
    const id = `${plain || 'text'}-${randomInt(36 ** 4)
      .toString(36)
      .padStart(4, '0')}`;
    if (!taken.has(id)) return id;
  }
}
