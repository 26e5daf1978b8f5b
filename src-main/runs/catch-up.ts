// Brings the store up to what the run folders say: logs read on, unknown folders taken in, texts found.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LOG_FILE, parseEvent, readEvents } from '../log/read';
import { addWarning } from '../store/event';
import type { Store } from '../store/open';
import { project, unproject } from '../store/project';
import { getRun, insertRun, runIds } from '../store/run';
import { insertText, textIds } from '../store/text';
import { ID, type LabPaths, listRunFolders, readJson, readLabel, readSpec, runFolder } from './folder';

export interface CaughtUp {
  /** Newest event that the store has. */
  seq: number;
  /** Events that were new to it. */
  taken: number;
  /** Some of them were numbers for a chart. */
  metrics: boolean;
  /** The whole log was read anew, so that what was known before may have changed. */
  again: boolean;
}

/**
 * Reads on in the log of a run until its end, at most `chunks` times 8 MiB.
 * @throws SqliteError when the disk refuses; what was read before is kept, the rest comes with the next call.
 */
export function catchUp(store: Store, paths: LabPaths, id: string, chunks = Number.POSITIVE_INFINITY): CaughtUp {
  const run = getRun(store, id);
  if (!run) throw new Error(`internal: run ${id} is not in the store`);
  const folder = runFolder(paths, id);
  const again = logBytes(folder) < run.logOffset;
  if (again) unproject(store, id);
  let offset = again ? 0 : run.logOffset;
  const all: CaughtUp = { seq: again ? 0 : run.seq, taken: 0, metrics: false, again };
  for (let chunk = 0; chunk < chunks; chunk++) {
    const read = readEvents(folder, offset);
    if (read.offset === offset) break;
    const { seq, taken, metrics } = project(store, id, read.events, read.offset);
    if (read.damaged) {
      // Not an event of the log, so it takes a number below all of theirs, the same one each time.
      const step = read.events[0]?.step ?? run.step;
      addWarning(store, run.key, -1 - offset, { step, code: 'log_damaged', message: read.damaged });
    }
    offset = read.offset;
    all.seq = seq;
    all.taken += taken;
    all.metrics ||= metrics;
  }
  return all;
}

/** 0 while there is no log. */
export function logBytes(folder: string): number {
  try {
    return statSync(join(folder, LOG_FILE)).size;
  } catch {
    return 0;
  }
}

/** Longest line that `agrees` looks back for. */
const LOOK_BACK = 1024 * 1024;

/**
 * Whether the log still says, before byte `offset`, what the store took from it: it ends there with event `seq`.
 * A machine that lost power may have lost the end of a log that the store had already read.
 */
export function agrees(folder: string, offset: number, seq: number): boolean {
  if (offset === 0) return true;
  let fd: number;
  try {
    fd = openSync(join(folder, LOG_FILE), 'r');
  } catch {
    return false;
  }
  try {
    if (fstatSync(fd).size < offset) return false;
    const bytes = Buffer.alloc(Math.min(LOOK_BACK, offset));
    readSync(fd, bytes, 0, bytes.length, offset - bytes.length);
    if (bytes.at(-1) !== 10) return false;
    const start = bytes.length > 1 ? bytes.lastIndexOf(10, bytes.length - 2) + 1 : 0;
    const event = parseEvent(bytes.toString('utf8', start, bytes.length - 1));
    return event === undefined || event.seq === seq;
  } finally {
    closeSync(fd);
  }
}

/** Forgets and re-reads the log of each run whose store and log tell different stories. */
export function reconcile(store: Store, paths: LabPaths): string[] {
  const changed: string[] = [];
  for (const id of runIds(store)) {
    const { logOffset, seq } = getRun(store, id)!;
    const folder = runFolder(paths, id);
    if (!existsSync(folder) || agrees(folder, logOffset, seq)) continue;
    unproject(store, id);
    changed.push(id);
  }
  return changed;
}

/**
 * Takes in the run folders that the store does not know: made by the command line, copied from another machine, or all of
 * them after the store was lost. Gives their ids; says of each that can't be read why.
 */
export function importFolders(store: Store, paths: LabPaths, complain: (message: string) => void): string[] {
  const known = new Set(runIds(store));
  const added: string[] = [];
  for (const id of listRunFolders(paths)) {
    if (known.has(id)) continue;
    const folder = runFolder(paths, id);
    try {
      const spec = readSpec(folder);
      const { name, deletedAt } = readLabel(folder);
      insertRun(store, {
        id,
        name: name ?? nameOf(spec, id),
        spec,
        createdAt: Math.round(statSync(join(folder, 'spec.json')).mtimeMs),
        status: 'interrupted',
        why: 'It has not been started in this lab. Resume puts it into the queue.',
        deletedAt,
      });
      added.push(id);
    } catch (error) {
      complain(`${folder} is not taken in: ${(error as Error).message}`);
    }
  }
  return added;
}

/** What a run is called when nobody named it. */
export const nameOf = (spec: { name?: string; model: { name?: string } }, id: string): string =>
  spec.name || spec.model.name || id;

const textSchema = z.object({ name: z.string().max(500), bytes: z.int().min(0), addedAt: z.number() });

/** Takes in the texts whose files are there and which the store does not know. */
export function importTexts(store: Store, paths: LabPaths): void {
  if (!existsSync(paths.texts)) return;
  const known = new Set(textIds(store));
  for (const file of readdirSync(paths.texts)) {
    const id = file.replace(/\.json$/, '');
    if (!file.endsWith('.json') || !ID.test(id) || known.has(id) || !existsSync(join(paths.texts, `${id}.txt`)))
      continue;
    const facts = readJson(join(paths.texts, file), textSchema);
    if (facts) insertText(store, { ...facts, id, addedAt: Math.round(facts.addedAt) });
  }
}
