// Events of a run, read from its log where the store knows the place.
import { readEvents } from '../log/read';
import type { RunEvent } from '../spec/event';
import { logMark } from '../store/event';
import type { Store } from '../store/open';
import { type LabPaths, runFolder } from './folder';

/** At most `limit` events that came after event `after`, in order. */
export function eventsAfter(
  store: Store,
  paths: LabPaths,
  { id, key }: { id: string; key: number },
  after: number,
  limit: number,
): RunEvent[] {
  const folder = runFolder(paths, id);
  const found: RunEvent[] = [];
  let { offset } = logMark(store, key, after);
  for (;;) {
    const read = readEvents(folder, offset);
    for (const event of read.events) if (event.seq > after && found.length < limit) found.push(event);
    if (read.offset === offset || found.length >= limit) return found;
    offset = read.offset;
  }
}
