// What every host needs: a lab folder opened, its RPC, its notices, and one way to close it all.
import { version as ownVersion } from '../../package.json';
import type { AppInfo, Reply } from '../rpc/contract';
import { createRpc } from '../rpc/index';
import type { Caller } from '../rpc/method';
import { Notices } from '../rpc/notices';
import { type OpenRuns, type OpenRunsOptions, openRuns } from '../runs/open';
import { builtScript } from '../runs/worker';

export interface OpenLab {
  folder: string;
  runs: OpenRuns;
  notices: Notices;
  /** Answers a request of any shape; never throws. `caller`: the window that asks. */
  answer(request: unknown, caller?: Caller): Promise<Reply>;
  /** Tells a second instance where the window is. */
  setAddress(address: string): void;
  close(): Promise<void>;
}

export interface OpenLabOptions extends Omit<OpenRunsOptions, 'host' | 'changed' | 'measured'> {
  host: AppInfo['host'];
  /** The script that devices are tested in; default: the built one. */
  probe?: string;
  /** The script that writes texts; default: the built one. */
  generator?: string;
  /** Folder of the golden cases; default: the one of this build. */
  golden?: string;
  version?: string;
}

/**
 * Opens the lab in a folder, making it where it is missing.
 * @throws FolderInUse when another process has it; the system's errors when the disk refuses (`inWords` makes them sentences).
 */
export function openLab({ host, probe, generator, golden, version = ownVersion, ...options }: OpenLabOptions): OpenLab {
  const notices = new Notices();
  const closing = new AbortController();
  const runs = openRuns({
    ...options,
    host,
    changed: (ids) => notices.tell({ kind: 'runs', ids }),
    measured: (run, seq) => notices.tell({ kind: 'metrics', run, seq }),
  });
  const answer = createRpc(
    {
      paths: runs.paths,
      store: runs.store,
      supervisor: runs.supervisor,
      host,
      version,
      probe: () => probe ?? builtScript('probe.js'),
      generator: () => generator ?? builtScript('generator.js'),
      // Listed by the file system, so beside the archive of a packaged app.
      golden: () => golden ?? builtScript('golden').replace(/app\.asar(?=[\\/])/, 'app.asar.unpacked'),
      closing: closing.signal,
      tell: (notice) => notices.tell(notice),
      now: Date.now,
    },
    options.complain,
  );
  return {
    folder: options.folder,
    runs,
    notices,
    answer,
    setAddress: (address) => runs.lock.setAddress(address),
    async close() {
      closing.abort();
      notices.close();
      await runs.close();
    },
  };
}
