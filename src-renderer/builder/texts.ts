// Texts of the user's, chosen or dropped: files, or a folder with all that is in it, read as UTF-8 and given to the lab.
import { useMessage } from 'naive-ui';
import { useI18n } from 'vue-i18n';
import { rpc } from '../rpc';
import { useErrorSentences } from '../ui/errors';
import { useFormat } from '../ui/format';
import { useBench } from './bench';

/** A file by its path inside the folder that was dropped, or by its name. */
export interface Found {
  path: string;
  file: File;
}
export interface Given {
  /** Of the one file or folder, or of the first of several. */
  name: string;
  files: Found[];
  /** A folder may hold more than texts; what is no text in it is passed over. */
  folder: boolean;
}

/** What main takes in one message. */
export const MAX_BYTES = 200 * 1024 * 1024;
const MAX_FILES = 10_000;

/** Why no text came of the files, as a key of `build.train` and what it names. */
export interface Refusal {
  why: 'textEmpty' | 'textBinary' | 'textTooBig' | 'textNone';
  file: string;
}

/**
 * What was dropped. To be called while the event is handled: later its items are gone.
 * Hidden files and folders are left alone.
 */
export function dropped(transfer: DataTransfer): Promise<Given> {
  const entries = [...transfer.items].flatMap((item) =>
    item.kind === 'file' ? (item.webkitGetAsEntry?.() ?? []) : [],
  );
  // Where entries are not offered, a drop holds plain files only.
  if (!entries.length) return Promise.resolve(chosen([...transfer.files]));
  return (async () => {
    const files: Found[] = [];
    for (const entry of entries) await walk(entry, '', files);
    return { name: entries[0].name, files, folder: entries.some((entry) => entry.isDirectory) };
  })();
}

export const chosen = (files: readonly File[]): Given => ({
  name: files[0]?.name ?? '',
  files: files.map((file) => ({ path: file.name, file })),
  folder: false,
});

async function walk(entry: FileSystemEntry, base: string, found: Found[]): Promise<void> {
  if (found.length >= MAX_FILES || (base && entry.name.startsWith('.'))) return;
  const path = base ? `${base}/${entry.name}` : entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed));
    found.push({ path, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // It gives a hundred at a time, and none when it is through.
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const inner of some) await walk(inner, path, found);
  }
}

/** Reads the files, or says of which one and why not. */
export async function readTexts({ name, files, folder }: Given): Promise<{ name: string; text: string }[] | Refusal> {
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  if (size > MAX_BYTES) return { why: 'textTooBig', file: name };
  const read: { name: string; text: string }[] = [];
  for (const { path, file } of files) {
    if (file.size === 0 && !folder) return { why: 'textEmpty', file: path };
    const text = utf8(await file.arrayBuffer());
    if (text) read.push({ name: path, text });
    else if (!folder) return { why: 'textBinary', file: path };
  }
  return read.length ? read : { why: 'textNone', file: name };
}

/** Undefined for what is no text: bytes that are not UTF-8, or a zero among them. */
function utf8(bytes: ArrayBuffer): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

/** Gives texts to the lab and makes the new one the source of the text task; what goes wrong is said on the screen. */
export function useTexts() {
  const { t } = useI18n();
  const format = useFormat();
  const message = useMessage();
  const sentencesOf = useErrorSentences();
  const bench = useBench();
  const fail = (sentence: string) => message.error(sentence, { duration: 10_000, closable: true });

  return async (given: Given): Promise<void> => {
    try {
      const files = await readTexts(given);
      if (!Array.isArray(files)) {
        fail(t(`build.train.${files.why}`, { file: files.file, most: format.bytes(MAX_BYTES) }));
        return;
      }
      const text = await rpc.texts.add({ name: given.name, files });
      const options = bench.task.id === 'text' ? bench.task.options : {};
      bench.task = { id: 'text', options: { ...options, source: text.id } };
      message.success(t('build.train.textAdded', { name: text.name, size: format.bytes(text.bytes) }));
    } catch (error) {
      fail(sentencesOf(error).join('\n'));
    }
  };
}
