// Which process writes to a run's folder, whoever started it: the lab, another lab, or the command line.
import { type LabPaths, listRunFolders, readHeartbeat, runFolder } from './folder';
import { exists, startOf } from './process';
import { isAtWork } from './standing';

/** The worker at work on this run folder; undefined where there is none. */
export function workerOf(folder: string, now = Date.now()): number | undefined {
  const heartbeat = readHeartbeat(folder);
  if (!heartbeat) return undefined;
  const owner = { exists: exists(heartbeat.pid), start: startOf(heartbeat.pid) };
  return isAtWork(heartbeat, owner, now) ? heartbeat.pid : undefined;
}

/** How many runs of a lab have a worker, without its store; a paused one counts, since its heartbeat does not tell. */
export const countAtWork = (paths: LabPaths): number =>
  listRunFolders(paths).filter((id) => workerOf(runFolder(paths, id)) !== undefined).length;
