// The worker as a process of its own: killed with SIGKILL and resumed it ends with the very same bytes; it obeys commands and signals.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEvents } from '../log/read';
import type { RunEvent } from '../spec/event';
import type { RunDraft } from '../spec/run';

const root = resolve(import.meta.dirname, '../..');
// Inside the checkout, where packages and native kernels are found; apart from out/main, which others build and run.
const bundle = join(root, 'out', 'test', `worker-${process.pid}`);
const script = join(bundle, 'worker.js');
let lab: string;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  lab = mkdtempSync(join(tmpdir(), 'archlab-worker-'));
  await build({
    root,
    configFile: false,
    logLevel: 'error',
    resolve: { mainFields: ['module', 'jsnext:main', 'main'] },
    ssr: { noExternal: [/@tensorflow\/tfjs-(core|backend-cpu|backend-webgpu)/] },
    build: { ssr: join(import.meta.dirname, 'worker.ts'), outDir: bundle, emptyOutDir: true, minify: false },
  });
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(bundle, { recursive: true, force: true });
  rmSync(lab, { recursive: true, force: true });
});

const draft = (rest: Partial<RunDraft> = {}): RunDraft => ({
  format: 'archlab.run/1',
  model: {
    format: 'archlab.model/1',
    width: 16,
    layers: [
      { block: 'softmax_attention', options: { heads: 2, headDim: 8 } },
      { block: 'dropout' },
      { block: 'mamba2', options: { headDim: 8, dState: 8 } },
    ],
    dropout: { embedding: 0.1, branches: 0.1 },
  },
  task: { id: 'text', options: { tokens: 16 } },
  schedule: { warmup: 4 },
  budget: { steps: 40 },
  batch: { size: 4, accumulation: 2 },
  evaluation: { every: 16, batches: 1 },
  samples: { every: 20, length: 8, prompt: 'Ahab' },
  checkpoint: { every: 8, keep: 3 },
  threads: 2,
  ...rest,
});

function makeRun(id: string, spec: unknown): string {
  const folder = join(lab, 'runs', id);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
  return folder;
}
const eventsOf = (folder: string) => {
  const { events, damaged } = readEvents(folder, 0);
  expect(damaged).toBeUndefined();
  expect(events.map((e) => e.seq)).toEqual(events.map((_, i) => i + 1));
  return events;
};
const of = <K extends RunEvent['kind']>(events: RunEvent[], kind: K) =>
  events.filter((e): e is Extract<RunEvent, { kind: K }> => e.kind === kind);

/** Starts a worker; `seen` hears of every new event, `done` settles with how the process ended. */
function start(folder: string, seen: (event: RunEvent, child: ChildProcess) => void = () => {}) {
  const child = fork(script, ['--run', folder, '--lab', lab], {
    execArgv: [],
    env: { ...process.env, ARCHLAB_THREADS: '1' },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  children.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream!.on('data', (text) => (said += text));
  let offset = 0;
  try {
    offset = readFileSync(join(folder, 'events.jsonl')).length;
  } catch {}
  child.on('message', () => {
    const read = readEvents(folder, offset);
    offset = read.offset;
    for (const event of read.events) seen(event, child);
  });
  return new Promise<{ code: number | null; signal: string | null; said: string }>((done) =>
    child.on('exit', (code, signal) => {
      children.delete(child);
      done({ code, signal, said });
    }),
  );
}
const killAt = (step: number) => (event: RunEvent, child: ChildProcess) => {
  if (event.kind === 'metric' && event.step >= step) child.kill('SIGKILL');
};
const lossByStep = (events: RunEvent[]) => {
  const losses = new Map<number, number | null>();
  for (const { step, values } of of(events, 'metric')) {
    const loss = values['loss/train'];
    // A step that was made twice gave the same loss both times.
    if (losses.has(step)) expect(loss).toBe(losses.get(step));
    losses.set(step, loss);
  }
  return losses;
};

describe('a worker killed with SIGKILL', () => {
  it('goes on bit for bit: same losses, same evaluations, same last checkpoint', async () => {
    for (const [name, optimiser] of [
      ['adamw', { kind: 'adamw' }],
      ['muon', { kind: 'muon' }],
    ] as const) {
      const whole = makeRun(`whole-${name}`, draft({ optimiser }));
      const broken = makeRun(`broken-${name}`, draft({ optimiser }));
      expect(await start(whole)).toEqual({ code: 0, signal: null, said: '' });
      expect((await start(broken, killAt(9))).signal).toBe('SIGKILL');
      expect((await start(broken, killAt(20))).signal).toBe('SIGKILL');
      expect((await start(broken)).code).toBe(0);
      const [expected, got] = [eventsOf(whole), eventsOf(broken)];
      expect(of(got, 'started').map((e) => e.resumed)).toEqual([false, true, true]);
      // How far a worker comes before the signal reaches it is not told; it goes on from its last checkpoint.
      for (const [i, event] of got.entries())
        if (event.kind === 'started' && event.resumed) {
          expect(event.step).toBe(of(got.slice(0, i), 'checkpoint').at(-1)!.step);
          expect(event.step).toBeGreaterThan(0);
          expect(event.step).toBeLessThan(40);
        }
      expect(lossByStep(got)).toEqual(lossByStep(expected));
      expect(lossByStep(got).size).toBe(40);
      const last = (events: RunEvent[]) => of(events, 'evaluation').at(-1)!.values;
      expect(last(got)).toEqual(last(expected));
      expect(of(got, 'sample').at(-1)!.text).toBe(of(expected, 'sample').at(-1)!.text);
      expect(of(got, 'warning').filter((w) => w.code !== 'fallback')).toEqual([]);
      expect(got.at(-1)).toMatchObject({ kind: 'ended', status: 'finished', step: 40 });
      const final = (folder: string) => readFileSync(join(folder, 'checkpoints', 'step-00000040.safetensors'));
      expect(final(broken).equals(final(whole))).toBe(true);
      expect(readdirSync(join(broken, 'checkpoints')).sort()).toEqual(readdirSync(join(whole, 'checkpoints')).sort());
    }
  }, 180_000);
});

describe('a worker', () => {
  it('says what it built, beats, and obeys pause, step, resume and stop', async () => {
    const folder = makeRun('commands', draft({ budget: { steps: 9_999 }, samples: { every: 0 } }));
    const order: string[] = [];
    let pausedAt = 0;
    const { code } = await start(folder, (event, child) => {
      if (event.kind === 'state') order.push(`${event.status}`);
      if (event.kind === 'metric' && event.step === 5) child.send({ kind: 'pause' });
      if (event.kind === 'state' && event.status === 'paused') {
        pausedAt = event.step;
        order.push(
          JSON.parse(readFileSync(join(folder, 'heartbeat.json'), 'utf8')).pid === child.pid ? 'beats' : 'no beat',
        );
        child.send({ kind: 'step' });
      }
      if (event.kind === 'metric' && pausedAt && event.step === pausedAt + 1) child.send({ kind: 'resume' });
      if (event.kind === 'metric' && pausedAt && event.step === pausedAt + 8) child.send({ kind: 'stop' });
    });
    expect(code).toBe(0);
    expect(order).toEqual(['running', 'paused', 'beats', 'running']);
    const events = eventsOf(folder);
    expect(events.slice(0, 2).map((e) => e.kind)).toEqual(['started', 'built']);
    const { facts } = of(events, 'built')[0];
    expect(facts).toMatchObject({ tokensPerStep: 64, device: 'cpu', precision: 'float32' });
    for (const count of [facts.parameters, facts.stepFlops, facts.stateBytes]) expect(count).toBeGreaterThan(1000);
    const ended = events.at(-1)!;
    expect(ended).toMatchObject({ kind: 'ended', status: 'stopped', why: 'Stopped on request.' });
    expect(of(events, 'checkpoint').at(-1)).toMatchObject({ step: ended.step, final: true });
  });

  it('stops on SIGTERM, and saves itself when the lab goes away', async () => {
    const stopped = makeRun('sigterm', draft({ budget: { steps: 9_999 } }));
    const at = (step: number, act: (child: ChildProcess) => void) => (event: RunEvent, child: ChildProcess) => {
      if (event.kind === 'metric' && event.step === step) act(child);
    };
    expect(
      (
        await start(
          stopped,
          at(3, (child) => child.kill('SIGTERM')),
        )
      ).code,
    ).toBe(0);
    expect(eventsOf(stopped).at(-1)).toMatchObject({ kind: 'ended', status: 'stopped' });
    const left = makeRun('left', draft({ budget: { steps: 9_999 } }));
    expect(
      (
        await start(
          left,
          at(3, (child) => child.disconnect()),
        )
      ).code,
    ).toBe(0);
    const events = eventsOf(left);
    expect(events.at(-1)).toMatchObject({ kind: 'ended', status: 'interrupted' });
    expect(of(events, 'checkpoint').at(-1)!.step).toBe(events.at(-1)!.step);
  });

  it('passes over a broken checkpoint and says so', async () => {
    const folder = makeRun('damaged', draft({ budget: { steps: 24 }, samples: { every: 0 } }));
    await start(folder, killAt(18));
    const newest = join(folder, 'checkpoints', 'step-00000016.safetensors');
    const bytes = readFileSync(newest);
    bytes[bytes.length - 3] ^= 4;
    writeFileSync(newest, bytes);
    expect((await start(folder)).code).toBe(0);
    const events = eventsOf(folder);
    expect(of(events, 'started').at(-1)).toMatchObject({ resumed: true, step: 8 });
    expect(of(events, 'warning').find((w) => w.code === 'broken_checkpoint')!.message).toMatch(
      /step-00000016\.safetensors: its numbers are not those that were saved .*; go on from an earlier checkpoint/,
    );
    expect(events.at(-1)).toMatchObject({ kind: 'ended', status: 'finished', step: 24 });
    lossByStep(events);
  });

  it('keeps what it saves after it found no whole checkpoint', async () => {
    const folder = makeRun('all-damaged', draft({ budget: { steps: 24 }, samples: { every: 0 } }));
    await start(folder, killAt(18));
    const checkpoints = join(folder, 'checkpoints');
    const saved = () => readdirSync(checkpoints).filter((name) => name.endsWith('.safetensors'));
    const damaged = saved();
    for (const name of damaged) writeFileSync(join(checkpoints, name), 'torn');
    await start(folder, killAt(9));
    expect(of(eventsOf(folder), 'warning').map((w) => w.code)).toContain('no_checkpoint');
    expect(saved()).toEqual(['step-00000008.safetensors']);
    expect(readdirSync(checkpoints)).toEqual(expect.arrayContaining(damaged.map((name) => `${name}.broken`)));
    expect((await start(folder)).code).toBe(0);
    expect(of(eventsOf(folder), 'started').at(-1)).toMatchObject({ resumed: true, step: 8 });
    expect(eventsOf(folder).at(-1)).toMatchObject({ kind: 'ended', status: 'finished', step: 24 });
  });

  it('goes on from its parent where it is a fork', async () => {
    makeRun('stem', draft({ budget: { steps: 8 }, samples: { every: 0 } }));
    await start(join(lab, 'runs', 'stem'));
    const fork = makeRun('fork', {
      ...draft({ budget: { steps: 12 }, samples: { every: 0 }, optimiser: { kind: 'sgd' } }),
      parent: { run: 'stem', step: 8 },
    });
    expect((await start(fork)).code).toBe(0);
    const events = eventsOf(fork);
    expect(events[0]).toMatchObject({ kind: 'started', step: 8, resumed: false });
    expect(of(events, 'warning').map((w) => w.code)).toContain('fresh_optimiser');
    expect(of(events, 'metric')[0].step).toBe(9);
  });

  const wrong: [string, unknown, RegExp][] = [
    ['is not JSON', '{', /spec\.json: it is not JSON/],
    ['has an unknown key', { ...draft(), stepz: 3 }, /run\.stepz: unknown key; did you mean steps\?/],
    [
      'names a text of zero bytes',
      draft({ task: { id: 'text', options: { source: 'nothing' } } }),
      /nothing\.txt has zero bytes; take a file with text/,
    ],
    [
      'wants a checkpoint that is not there',
      { ...draft(), parent: { run: 'gone', step: 3 } },
      /step-00000003\.json: it is not a checkpoint description/,
    ],
    [
      'wants a precision that the device lacks',
      draft({ device: 'reference', precision: 'bfloat16' }),
      /bfloat16 .*; choose float32$/,
    ],
    [
      'wants more memory than there is',
      draft({ batch: { size: 65_536 }, task: { id: 'text', options: { tokens: 65_536 } } }),
      /run\.batch\.size: training wants about .* GiB of memory .*; take a smaller batch/,
    ],
  ];
  it('ends as failed, with a sentence, when its spec does not fit', async () => {
    mkdirSync(join(lab, 'texts'), { recursive: true });
    writeFileSync(join(lab, 'texts', 'nothing.txt'), '');
    for (const [i, [name, spec, why]] of wrong.entries()) {
      const folder = makeRun(`wrong-${i}`, spec);
      if (typeof spec === 'string') writeFileSync(join(folder, 'spec.json'), spec);
      expect((await start(folder)).code, name).toBe(0);
      const last = eventsOf(folder).at(-1)!;
      expect(last, name).toMatchObject({ kind: 'ended', status: 'failed' });
      expect((last as Extract<RunEvent, { kind: 'ended' }>).why, name).toMatch(why);
    }
  });

  it('exits with a word on stderr where there is no run folder', async () => {
    const { code, said } = await start(join(lab, 'runs', 'nowhere'));
    expect(code).toBe(1);
    expect(said).toContain('nowhere');
  });
});
