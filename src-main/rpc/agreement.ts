// Blocks being compared with their golden cases, in a process of its own: started, heard, and killed.
import { fork } from 'node:child_process';
import { deathOf } from '../runs/standing';
import type { Agreement, AgreementProgress } from '../spec/agreement';
import type { DeviceId } from '../spec/run';

const LINES = 20;

/** What the probe says while it compares. */
export type AgreementMessage =
  | { progress: AgreementProgress }
  | { agreement: Agreement }
  | { value: 'done' }
  | { error: string };

export interface ComparisonOptions {
  /** The built probe. */
  script: string;
  /** Folder with a folder of golden cases for each block. */
  golden: string;
  device: DeviceId;
  blocks: readonly string[];
  /** A case that takes longer is given up: a driver hangs. */
  silenceMs: number;
  hear(message: { progress: AgreementProgress } | { agreement: Agreement }): void;
  /** Once, at the end; with a sentence where it went wrong. */
  ended(error?: string): void;
}

/** Starts the comparison; returns how to stop it, after which nothing more is heard but the end. */
export function startComparison(options: ComparisonOptions): () => void {
  const { script, golden, device, blocks, silenceMs, hear, ended } = options;
  const env: NodeJS.ProcessEnv = { ...process.env };
  if (process.versions.electron) env.ELECTRON_RUN_AS_NODE = '1';
  const child = fork(script, ['agree', device, golden, ...blocks], {
    env,
    execPath: process.execPath,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let over = false;
  let said: string[] = [];
  let timer: NodeJS.Timeout;
  const end = (error?: string) => {
    clearTimeout(timer);
    child.kill('SIGKILL');
    if (over) return;
    over = true;
    ended(error);
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => end(`The device did not finish a case within ${silenceMs / 1000} s.`), silenceMs);
  };
  wait();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = [...said, ...text.split('\n')].filter(Boolean).slice(-LINES);
  });
  child.on('message', (message: AgreementMessage) => {
    if (over) return;
    wait();
    if ('error' in message) end(message.error);
    else if ('value' in message) end();
    else hear(message);
  });
  // Not before whoever asked knows that it has begun.
  child.on('error', (error) => setImmediate(() => end(error.message)));
  child.on('exit', (code, signal) =>
    end(deathOf(code, signal, said.join('\n')).why.replace('The worker', 'The process that compares blocks')),
  );
  return () => end();
}
