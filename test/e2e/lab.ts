// The built lab as a process of its own, on a folder that the test owns.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const root = resolve(import.meta.dirname, '../..');
const script = (name: string) => join(root, 'out', 'main', name);

/** A folder in the temporary one, and the way to be rid of it. */
export function temporaryFolder(): { folder: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'archlab-e2e-'));
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

export interface ServedLab {
  /** With its token. */
  address: string;
  pid: number;
  /** SIGTERM, and waits; gives the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL, and waits. */
  kill(): Promise<void>;
  /** What it printed on stderr. */
  said(): string;
}

/** Serves the lab in `folder`; settles once it has printed its address. */
export async function serveLab(folder: string, args: string[] = []): Promise<ServedLab> {
  const child = spawn(process.execPath, [script('serve.js'), '--no-open', '--folder', folder, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const gone = ended(child);
  const address = await new Promise<string>((found, failed) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /http:\/\/\S+/.exec(line);
      if (match) found(match[0]);
    });
    void gone.then((code) => failed(new Error(`The served lab ended with code ${code}: ${said}`)));
  });
  return {
    address,
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM');
      return gone;
    },
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    said: () => said,
  };
}

/** Runs a command of the command line to its end. */
export async function archlab(
  args: string[],
  { env = {}, cwd = root }: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [script('cli.js'), ...args], { cwd, env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return { code: await ended(child), stdout, stderr };
}

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', done);
  });
