// The trash: a deleted run keeps its folder for 30 days and can come back; then it goes for good.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { purgeModels } from '../store/model';
import type { Store } from '../store/open';
import { forgetRun, getRun, leaveQueue, listRuns, setDeleted, setName, setStatus } from '../store/run';
import { forgetText, removedTexts } from '../store/text';
import { type LabPaths, removeRunFolder } from './folder';
import type { Supervisor } from './supervisor';

const TRASH_DAYS = 30;
const DAY_MS = 86_400_000;

/**
 * Hides the run and stops it if need be; its folder stays. A queued one only leaves the queue, so that it can come back to it. Where the disk
 * does not take the mark, the run goes on.
 */
export function trashRun(store: Store, supervisor: Supervisor, id: string, at: number): void {
  if (!getRun(store, id)) throw new Error(`There is no run ${JSON.stringify(id)} in this lab.`);
  supervisor.label(id, { deletedAt: at });
  setDeleted(store, id, at);
  if (getRun(store, id)?.status === 'queued') leaveQueue(store, id);
  else supervisor.stop(id);
}

/** Brings a run back; one that waited in the queue joins its end. */
export function restoreRun(store: Store, supervisor: Supervisor, id: string): void {
  if (!getRun(store, id))
    throw new Error(`Run ${JSON.stringify(id)} is no longer in the trash: it was removed after ${TRASH_DAYS} days.`);
  supervisor.label(id, { deletedAt: null });
  setDeleted(store, id, null);
  if (getRun(store, id)?.status !== 'queued') return;
  setStatus(store, id, 'queued');
  supervisor.refresh();
}

export function renameRun(store: Store, supervisor: Supervisor, id: string, name: string): void {
  if (!getRun(store, id)) throw new Error(`There is no run ${JSON.stringify(id)} in this lab.`);
  supervisor.label(id, { name });
  setName(store, id, name);
}

/** Removes for good what has been in the trash for too long; folders of runs at work wait. */
export function emptyTrash(store: Store, paths: LabPaths, supervisor: Supervisor, now: number): string[] {
  const before = now - TRASH_DAYS * DAY_MS;
  const gone: string[] = [];
  for (const { id, deletedAt } of listRuns(store, { deleted: true })) {
    if (deletedAt === null || deletedAt >= before || supervisor.isAtWork(id)) continue;
    removeRunFolder(paths, id);
    forgetRun(store, id);
    gone.push(id);
  }
  purgeModels(store, before);
  for (const id of removedTexts(store, before)) {
    for (const kind of ['txt', 'json']) rmSync(join(paths.texts, `${id}.${kind}`), { force: true });
    forgetText(store, id);
  }
  return gone;
}
