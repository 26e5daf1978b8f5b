// PyTorch in a process of its own, which does one step, or a burst of tokens, for each line that asks for it: test/bench/torch/server.py.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

/** A step as the other process timed it. */
export interface TorchStep {
  ms: number;
  /** Of all its threads together. */
  cpuMs: number;
  value: number;
}
/** Tokens that were decoded one after another. */
export interface TorchBurst {
  /** Milliseconds of each. */
  ms: number[];
  /** Of one on average, all threads together. */
  cpuMs: number;
}
/** What it says once a model is made. */
export interface TorchModel {
  parameters: number;
  /** Before the first step; absent where it decodes. */
  loss?: number;
  /** Processor milliseconds of a step in each way to compute the mixer that was tried; where it decodes, milliseconds of a token. */
  forms?: Record<string, number>;
}

/** The environment variable that names a Python with torch. */
export const TORCH_PYTHON = 'ARCHLAB_TORCH_PYTHON';

/** test/bench/torch of the checkout; undefined in a packaged app, which has no benchmark. */
function programs(): string | undefined {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'archlab') {
      const path = join(folder, 'test', 'bench', 'torch');
      return existsSync(path) ? path : undefined;
    }
    if (folder === dirname(folder)) return undefined;
  }
}

/** Blocks that there is a PyTorch program for. */
export function torchBlocks(): string[] {
  const folder = programs();
  if (!folder) return [];
  return readdirSync(join(folder, 'blocks'))
    .filter((file) => file.endsWith('.py'))
    .map((file) => file.slice(0, -3));
}

export class TorchServer {
  private readonly waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  private ended: Error | undefined;
  private said = '';
  /** Of PyTorch. */
  version = '';

  private constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly python: string,
  ) {
    createInterface({ input: child.stdout }).on('line', (line) => this.waiting.shift()?.resolve(line));
    child.stderr.on('data', (data) => {
      this.said = (this.said + data).slice(-2000);
    });
    child.stdin.on('error', () => undefined); // it ended: `close` says why
    child.on('error', (error) => this.end(`could not be started: ${error.message}`));
    child.on('close', (code, signal) =>
      this.end(this.said.trim().split('\n').at(-1) || `ended with ${signal ?? code}`),
    );
  }

  private end(why: string): void {
    this.ended ??= new Error(`${TORCH_PYTHON} names ${this.python}: ${why}`);
    for (const { reject } of this.waiting.splice(0)) reject(this.ended);
  }

  private line(): Promise<string> {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** Why there can be no server, before one is tried; undefined if it can be tried. */
  static missing(): string | undefined {
    if (!process.env[TORCH_PYTHON]) return `${TORCH_PYTHON} names no Python; set it to one that imports torch`;
    return programs() ? undefined : 'its programs lie in a checkout only, in test/bench/torch';
  }

  /** Starts the Python that ARCHLAB_TORCH_PYTHON names. @throws Error saying in a sentence why there is none. */
  static async open(threads: number): Promise<TorchServer> {
    const missing = TorchServer.missing();
    if (missing) throw new Error(missing);
    const python = process.env[TORCH_PYTHON]!;
    // Threads wait for the next call spinning, as they do by default, else PyTorch's small products take twice as long; but for parts of a
    // millisecond, after which they leave the cores to whoever runs in turn.
    const env = {
      GOMP_SPINCOUNT: '20000',
      ...process.env,
      OMP_NUM_THREADS: `${threads}`,
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const server = new TorchServer(spawn(python, [join(programs()!, 'server.py')], { env, stdio: 'pipe' }), python);
    server.version = (JSON.parse(await server.line()) as { torch: string }).torch;
    return server;
  }

  /** @throws Error with what the other process says is wrong, or that it ended. */
  private async ask<Answer>(request: object): Promise<Answer> {
    const line = this.line();
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    const answer = JSON.parse(await line) as Answer | { error: string };
    if (typeof answer === 'object' && answer !== null && 'error' in answer) throw new Error(`PyTorch: ${answer.error}`);
    return answer as Answer;
  }

  /** Makes a model in place of the one before: `request` as server.py reads it, with `op` train or decode. */
  start = (request: object): Promise<TorchModel> => this.ask<TorchModel>(request);
  /** In the form chosen last if none is named. */
  step = (form?: string): Promise<TorchStep> => this.ask<TorchStep>({ op: 'step', form });
  /** Greedy decoding of `tokens` tokens from the context asked for; without the times of the first `leftOut`. */
  burst = (tokens: number, leftOut: number): Promise<TorchBurst> =>
    this.ask<TorchBurst>({ op: 'burst', tokens, leftOut });

  close(): void {
    this.child.stdin.end();
    this.child.kill();
  }
}
