// Events of a run, read from its log where the store knows the place.
import { readEvents } from '../log/read';
import type { RunEvent } from '../spec/event';
import { logMark } from '../store/event';
import type { Store } from '../store/open';
import { type LabPaths, runFolder } from './folder';

const READINGS: ReadonlySet<RunEvent['kind']> = new Set(['metric', 'load']);

/** At most `limit` events that came after event `after`, in order; without `readings` only what is not a number of every step. */
export function eventsAfter(
  store: Store,
  paths: LabPaths,
  { id, key }: { id: string; key: number },
  after: number,
  limit: number,
  readings = true,
): RunEvent[] {
  const folder = runFolder(paths, id);
  const found: RunEvent[] = [];
  let { offset } = logMark(store, key, after);
  for (;;) {
    const read = readEvents(folder, offset);
    for (const event of read.events)
      if (event.seq > after && found.length < limit && (readings || !READINGS.has(event.kind))) found.push(event);
    if (read.offset === offset || found.length >= limit) return found;
    offset = read.offset;
  }
}
