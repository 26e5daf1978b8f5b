// One text being written by a process of its own: started, heard, and killed.
import { fork } from 'node:child_process';
import { deathOf } from '../runs/standing';
import type { Continuation, Piece } from './continue';
import type { Filling } from './fill';

const LINES = 20;

/** What the process is to do. */
export type Work = { kind: 'continue'; request: Continuation } | { kind: 'fill'; request: Filling };

export interface GenerationOptions {
  /** The built generator. */
  script: string;
  work: Work;
  /** Pieces in order; the last one has `done`, and `error` where it went wrong. */
  hear(piece: Piece & { error?: string }): void;
}

/** Starts a process on the work; it ends by itself when the text is done. Returns how to kill it, after which one last piece comes at once. */
export function startGeneration({ script, work, hear }: GenerationOptions): () => void {
  const env: NodeJS.ProcessEnv = { ...process.env };
  if (process.versions.electron) env.ELECTRON_RUN_AS_NODE = '1';
  const child = fork(script, [], {
    env,
    execPath: process.execPath,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let last: Piece = { text: '', tokens: 0, tokensPerSecond: null, stateBytes: null, precision: null, done: false };
  let said: string[] = [];
  const end = (error?: string) => {
    child.kill('SIGKILL');
    if (last.done) return;
    last = { ...last, text: '', done: true };
    hear(error === undefined ? last : { ...last, error });
  };
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = [...said, ...text.split('\n')].filter(Boolean).slice(-LINES);
  });
  child.on('message', (message: Piece | { error: string }) => {
    if (last.done) return;
    if ('error' in message) return end(message.error);
    last = message;
    hear(message);
    if (message.done) child.kill('SIGKILL');
  });
  // Not before whoever asked knows that it has begun.
  child.on('error', (error) => setImmediate(() => end(error.message)));
  child.on('exit', (code, signal) =>
    end(deathOf(code, signal, said.join('\n')).why.replace('The worker', 'The process that writes the text')),
  );
  child.send(work, () => {}); // What goes wrong here ends the process, which is told above.
  return () => end();
}
