// Opens a lab folder: takes its lock, opens its store, and sets the supervisor to work.
import { availableParallelism } from 'node:os';
import { openStore, type Store } from '../store/open';
import { type LabPaths, labPaths } from './folder';
import { type Lock, takeLock } from './lock';
import { Supervisor } from './supervisor';
import { emptyTrash } from './trash';
import { builtScript } from './worker';

export interface OpenRuns {
  paths: LabPaths;
  store: Store;
  supervisor: Supervisor;
  lock: Lock;
  /** Lets workers write their checkpoints, closes the store, gives the folder free. */
  close(): Promise<void>;
}

export interface OpenRunsOptions {
  folder: string;
  /** Said to a second instance: `electron`, `serve`. */
  host: string;
  /** The worker's script; default: the built one. */
  worker?: string;
  cores?: number;
  changed?: (ids: string[]) => void;
  measured?: (run: string, seq: number) => void;
  complain?: (message: string) => void;
  pollMs?: number;
}

/**
 * @throws FolderInUse when another process has the folder; the system's errors when the disk refuses.
 */
export function openRuns({ folder, host, worker, cores, complain = () => {}, ...rest }: OpenRunsOptions): OpenRuns {
  const paths = labPaths(folder);
  const lock = takeLock(paths.lock, host);
  let store: Store | undefined;
  try {
    const opened = openStore(paths.store);
    store = opened.store;
    if (opened.broken)
      complain(
        `The store was damaged (${opened.broken.why}). It was set aside as ${opened.broken.file}, and a new one is built from the run folders.`,
      );
    const supervisor = new Supervisor({
      ...rest,
      store,
      paths,
      complain,
      cores: cores ?? availableParallelism(),
      worker: () => worker ?? builtScript('worker.js'),
    });
    supervisor.open();
    emptyTrash(store, paths, supervisor, Date.now());
    const held = store;
    return {
      paths,
      store,
      supervisor,
      lock,
      async close() {
        await supervisor.close();
        held.close();
        lock.release();
      },
    };
  } catch (error) {
    store?.close();
    lock.release();
    throw error;
  }
}
