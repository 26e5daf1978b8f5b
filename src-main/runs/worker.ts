// One worker process: how it is started, spoken to and listened to.
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';

export type Command =
  | { kind: 'pause' | 'resume' | 'step' | 'stop' }
  /** From its next update on it uses as many threads. */
  | { kind: 'threads'; count: number };

export interface Worker {
  readonly pid: number | undefined;
  send(command: Command): void;
  /** Lets go of it: it writes a checkpoint, says that it was interrupted, and ends. */
  release(): void;
  signal(signal: NodeJS.Signals): void;
}

export interface WorkerOptions {
  /** The built script. */
  script: string;
  folder: string;
  lab: string;
  threads: number;
  /** After events reached the log. */
  wrote(): void;
  /** The disk refuses the run's events: a sentence, null once it takes them again. */
  troubled?(message: string | null): void;
  /** Once; `code` is null when a signal ended it. `error` when it could not even be started. */
  ended(end: { code: number | null; signal: NodeJS.Signals | null; lastLines: string; error?: Error }): void;
}

/** What the worker prints goes here: a file, so that its writing does not depend on our life. */
const OUTPUT_FILE = 'worker.log';

export function startWorker({ script, folder, lab, threads, wrote, troubled, ended }: WorkerOptions): Worker {
  const output = openSync(join(folder, OUTPUT_FILE), 'w');
  const env: NodeJS.ProcessEnv = { ...process.env, ARCHLAB_THREADS: String(threads) };
  if (process.versions.electron) env.ELECTRON_RUN_AS_NODE = '1';
  let child: ChildProcess;
  try {
    child = fork(script, ['--run', folder, '--lab', lab], {
      env,
      execPath: process.execPath,
      execArgv: process.execArgv.filter((arg) => !arg.startsWith('--inspect')),
      stdio: ['ignore', output, output, 'ipc'],
      // A group of its own: Ctrl-C in our terminal is for us, who then end the workers in good order.
      detached: process.platform !== 'win32',
    });
  } finally {
    closeSync(output);
  }
  let over = false;
  const end = (code: number | null, signal: NodeJS.Signals | null, error?: Error) => {
    if (over) return;
    over = true;
    ended({ code, signal, lastLines: lastLines(join(folder, OUTPUT_FILE)), error });
  };
  child.on('message', (message: unknown) => {
    const { kind, message: sentence } = (message ?? {}) as { kind?: unknown; message?: unknown };
    if (kind === 'wrote') wrote();
    if (kind === 'trouble') troubled?.(typeof sentence === 'string' ? sentence : null);
  });
  child.on('error', (error) => {
    if (child.pid === undefined) end(null, null, error);
  });
  child.on('exit', (code, signal) => end(code, signal));
  return {
    pid: child.pid,
    send(command) {
      // It may be gone a moment before its exit reaches us; the exit tells the rest.
      if (child.connected) child.send(command, () => {});
    },
    release() {
      if (child.connected) child.disconnect();
    },
    signal: (signal) => void child.kill(signal),
  };
}

/** The end of what the worker printed, at most `bytes` of it and whole lines only. */
function lastLines(path: string, bytes = 2000): string {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(bytes, size));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    const text = buffer.toString('utf8');
    return size > bytes ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(fd);
  }
}

/**
 * A script of this build, found beside the bundle that this code is in (or one folder up, for a shared chunk).
 * @throws Error with what to do when it is not built.
 */
export function builtScript(name: string, from = import.meta.dirname): string {
  const found = [join(from, name), join(from, '..', name)].find((path) => existsSync(path));
  if (!found)
    throw new Error(`${name} is not built (looked beside ${from}); run npm start, which builds what is missing`);
  return found;
}
