// The runs of a lab folder, read from the folders themselves into a store in memory: the same answers whether a lab is open on it or not.
import type { Implementation, RunRow } from '../../rpc/contract';
import type { Lab } from '../../rpc/lab';
import { runs } from '../../rpc/runs';
import { workerOf } from '../../runs/at-work';
import { catchUp, importFolders } from '../../runs/catch-up';
import { type LabPaths, labFolder, labPaths, runFolder } from '../../runs/folder';
import { isOver, type RunStatus } from '../../spec/event';
import { openStore } from '../../store/open';
import { say } from './command';
import { VERSION } from './version';

export interface Reading extends Disposable {
  paths: LabPaths;
  /** As the window asks; nothing that would change a run. */
  runs: Pick<Implementation['runs'], 'list' | 'csv'>;
}

/** Reads the runs of the lab, all of them or the named ones; broken folders are said and passed over. */
export function readLab(folder: string | undefined, ids?: readonly string[]): Reading {
  const paths = labPaths(labFolder(folder));
  const { store } = openStore(':memory:');
  for (const id of importFolders(store, paths, say)) if (!ids || ids.includes(id)) catchUp(store, paths, id);
  // No worker of this reader's is at work, so none can have trouble to tell of.
  const supervisor = { troubleOf: () => null } as Partial<Lab['supervisor']> as Lab['supervisor'];
  const lab = {
    paths,
    store,
    supervisor,
    host: 'cli',
    version: VERSION,
    tell() {},
    now: Date.now,
  } satisfies Partial<Lab>;
  return { paths, runs: runs(lab as Partial<Lab> as Lab), [Symbol.dispose]: () => store.close() };
}

/** How a run stands now: one that its log leaves at work, and at which no process is, was interrupted. */
export function statusOf(paths: LabPaths, { id, status, seq }: RunRow): RunStatus {
  if (seq === 0) return 'queued';
  return isOver(status) || workerOf(runFolder(paths, id)) ? status : 'interrupted';
}
