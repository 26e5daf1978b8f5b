// Reads a run's events from `events.jsonl`, a whole line at a time, from any offset on.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { RunEvent } from '../spec/event';
import { eventSchema } from './schema';

export const LOG_FILE = 'events.jsonl';

/** Bytes taken by one call, and so the longest line that can be read. */
const CHUNK = 8 * 1024 * 1024;
const NEWLINE = 10;

export interface ReadEvents {
  events: RunEvent[];
  /** Where the next call goes on: just past the last whole line. */
  offset: number;
  /** What could not be read, as a sentence; the events around it are there. */
  damaged?: string;
}

/**
 * Events from byte `offset` on. A line that has no end yet is left for later; a broken one is skipped and said in `damaged`.
 * One call takes at most 8 MiB: ask again until `offset` stays where it is. A log that is not there yet has no events.
 */
export function readEvents(folder: string, offset: number): ReadEvents {
  const path = join(folder, LOG_FILE);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { events: [], offset };
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (size < offset)
      return { events: [], offset, damaged: `${path} has ${size} bytes, fewer than the ${offset} already read of it` };
    const bytes = Buffer.alloc(Math.min(CHUNK, size - offset));
    let have = 0;
    while (have < bytes.length) {
      const got = readSync(fd, bytes, have, bytes.length - have, offset + have);
      if (got === 0) break;
      have += got;
    }
    return parse(bytes.subarray(0, have), offset, path);
  } finally {
    closeSync(fd);
  }
}

function parse(bytes: Buffer, offset: number, path: string): ReadEvents {
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  if (end === 0 && bytes.length === CHUNK)
    return {
      events: [],
      offset: offset + CHUNK,
      damaged: `${path}: no line ends within ${CHUNK} bytes from byte ${offset} on; they are skipped`,
    };
  const events: RunEvent[] = [];
  let damaged: string | undefined;
  for (let start = 0; start < end; ) {
    const stop = bytes.indexOf(NEWLINE, start);
    const event = parseEvent(bytes.toString('utf8', start, stop));
    if (event) events.push(event);
    else damaged ??= `${path}: the line at byte ${offset + start} is not an event and is skipped`;
    start = stop + 1;
  }
  return { events, offset: offset + end, damaged };
}

/** One line as an event; undefined if it is none. */
export function parseEvent(line: string): RunEvent | undefined {
  try {
    return eventSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
