// Runs the worker of one run folder to its end, and passes on what its log says.
import { openLog } from '../../log/append';
import { readEvents } from '../../log/read';
import { deathOf } from '../../runs/standing';
import { builtScript, startWorker } from '../../runs/worker';
import type { RunEvent, RunStatus } from '../../spec/event';
import { type Interrupt, say } from './command';

export interface End {
  status: RunStatus;
  why: string;
  step: number;
}

/** The log is looked at this often even if the worker does not say that it wrote. */
const LOOK_MS = 500;

/**
 * Starts a worker on a run folder and waits for its end. The first Ctrl-C ends the run in good order, the second at once.
 * `see` gets every event that is new since the start.
 */
export function follow(options: {
  folder: string;
  lab: string;
  threads: number;
  interrupt: Interrupt;
  see(event: RunEvent): void;
}): Promise<End> {
  const { folder, lab, threads, interrupt, see } = options;
  let offset = logEnd(folder);
  let last: RunEvent | undefined;
  const look = () => {
    for (;;) {
      const read = readEvents(folder, offset);
      if (read.damaged) say(read.damaged);
      if (read.offset === offset) return;
      offset = read.offset;
      for (const event of read.events) {
        last = event;
        see(event);
      }
    }
  };
  return new Promise((done, failed) => {
    const timer = setInterval(look, LOOK_MS);
    const worker = startWorker({
      script: builtScript('worker.js'),
      folder,
      lab,
      threads,
      wrote: look,
      troubled: (message) => say(`\n${message ?? 'The disk takes events again.'}`),
      ended({ code, signal, lastLines, error }) {
        clearInterval(timer);
        deaf();
        if (error) return failed(error);
        look();
        const step = last?.step ?? 0;
        if (last?.kind === 'ended') done({ status: last.status, why: last.why, step });
        else done(lastWord(folder, step, deathOf(code, signal, lastLines)));
      },
    });
    const deaf = interrupt.listen((times) => {
      if (times === 1) say('\nEnding in good order, with a checkpoint ... (Ctrl-C again ends at once)');
      if (times === 1) worker.send({ kind: 'stop' });
      else worker.signal('SIGKILL');
    });
  });
}

/** Says in the log what a worker that died could not say itself. */
function lastWord(
  folder: string,
  step: number,
  death: Pick<End & { status: 'failed' | 'interrupted' }, 'status' | 'why'>,
): End {
  const log = openLog(folder);
  log.append({ kind: 'ended', step, ...death });
  log.close();
  return { ...death, step };
}

/** Where the log ends now; a torn last line is not counted. */
function logEnd(folder: string): number {
  for (let offset = 0; ; ) {
    const read = readEvents(folder, offset);
    if (read.offset === offset) return offset;
    offset = read.offset;
  }
}
