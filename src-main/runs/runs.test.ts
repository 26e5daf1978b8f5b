// Runs and their workers: queue, commands, deaths of every kind, and a second lab on the same folder.
import { type ChildProcess, fork } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'vite';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readEvents } from '../log/read';
import type { RunStatus } from '../spec/event';
import { type RunSpec, runSchema } from '../spec/run';
import { checkpoints, warnings } from '../store/event';
import { picture } from '../store/metric';
import { getRun, listRuns, queued, type RunRecord } from '../store/run';
import { setSetting } from '../store/setting';
import { agrees } from './catch-up';
import { eventsAfter } from './events';
import { createRunFolder, labFolder, readHeartbeat, readSpec, runFolder, writeWhole } from './folder';
import { FolderInUse, takeLock, whoHolds } from './lock';
import { memorableName } from './name';
import { type OpenRuns, openRuns } from './open';
import { exists, ownStart, startOf } from './process';
import { deathOf, isAtWork, STALE_MS, systemTrouble } from './standing';
import { AT_ONCE } from './supervisor';
import { emptyTrash, renameRun, restoreRun, trashRun } from './trash';

const FAKE = resolve(import.meta.dirname, 'testing/worker.mjs');
let folder: string;
let lab: OpenRuns | undefined;
let said: string[];
const open = (cores = 8): OpenRuns => {
  lab = openRuns({ folder, host: 'serve', worker: FAKE, cores, pollMs: 20, complain: (message) => said.push(message) });
  return lab;
};
const close = async () => {
  await lab?.close();
  lab = undefined;
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-runs-'));
  said = [];
});
afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

const spec = (name: string, steps = 100_000, more: object = {}): RunSpec =>
  runSchema.parse({
    format: 'archlab.run/1',
    name,
    model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'mlp' }] },
    task: { id: 'text' },
    budget: { steps },
    ...more,
  });

async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 500; i++) {
    const found = look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}
const reaches = (of: OpenRuns, id: string, status: RunStatus): Promise<RunRecord> =>
  until(`${id} to be ${status} (it is ${getRun(of.store, id)?.status}: ${getRun(of.store, id)?.why})`, () => {
    const run = getRun(of.store, id)!;
    return run.status === status && run;
  });
const trains = (of: OpenRuns, id: string, past = 0): Promise<RunRecord> =>
  until(`${id} to train`, () => {
    const run = getRun(of.store, id)!;
    return run.status === 'running' && run.step > past && run;
  });
/** Every event of the log is in the store: as many points as metric events beyond the last resume, and the same end. */
function expectWhole(of: OpenRuns, id: string): void {
  const { events } = readEvents(runFolder(of.paths, id), 0);
  const run = getRun(of.store, id)!;
  expect(run.seq).toBe(events.at(-1)!.seq);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  const steps = new Set(events.filter(({ kind }) => kind === 'metric').map(({ step }) => step));
  expect(picture(of.store, run.key, 'loss/train', { buckets: 1e6 }).points.map(({ step }) => step)).toEqual(
    [...steps].sort((a, b) => a - b),
  );
}

describe('a run', () => {
  it('is made, trained and finished', async () => {
    const { supervisor, paths, store } = open();
    const [made] = supervisor.create([spec('short', 25)]);
    expect(made.id).toMatch(/^[a-z]+-[a-z]+-[2-9a-z]{4}$/);
    expect(readSpec(runFolder(paths, made.id))).toEqual(spec('short', 25));
    const run = await reaches(lab!, made.id, 'finished');
    expect(run).toMatchObject({
      step: 25,
      tokens: 1000,
      why: 'The last step is done.',
      ownerPid: null,
      facts: { threads: 2 },
    });
    expect(run.speed).toEqual({ median: 4000, low: 4000, high: 4000 });
    await until('its size', () => getRun(store, made.id)!.sizeBytes! > 1000);
    expect(checkpoints(store, run.key).map(({ step }) => step)).toEqual([10, 20, 25]);
    expect(eventsAfter(store, paths, run, 3, 2).map(({ seq }) => seq)).toEqual([4, 5]);
    expect(() => supervisor.resume(made.id)).toThrow(/finished: there is nothing to resume/);
    expectWhole(lab!, made.id);
  });

  it('is paused, stepped, resumed and stopped', async () => {
    const { supervisor } = open();
    const [{ id }] = supervisor.create([spec('long')]);
    expect(() => supervisor.step(id)).toThrow(/only a paused run takes single steps/);
    await trains(lab!, id);
    supervisor.pause(id);
    const { step } = await reaches(lab!, id, 'paused');
    supervisor.step(id);
    await until('one step', () => getRun(lab!.store, id)!.step === step + 1);
    await new Promise((done) => setTimeout(done, 50));
    expect(getRun(lab!.store, id)!.step).toBe(step + 1);
    supervisor.resume(id);
    await trains(lab!, id, step + 2);
    supervisor.stop(id);
    await reaches(lab!, id, 'stopped');
    supervisor.resume(id);
    await trains(lab!, id, step + 2);
    expectWhole(lab!, id);
  });

  it('that no one knows is answered in words', () => {
    const { supervisor } = open();
    for (const act of [supervisor.pause, supervisor.resume, supervisor.step, supervisor.stop])
      expect(() => act.call(supervisor, 'nobody')).toThrow('There is no run "nobody" in this lab');
  });

  it('keeps its name and its place in the trash in its folder, where a lost store finds them again', async () => {
    let { supervisor, store, paths } = open();
    const runs = supervisor.create([spec('a', 5), spec('b', 5)]);
    for (const { id } of runs) await reaches(lab!, id, 'finished');
    renameRun(store, supervisor, runs[0].id, 'renamed');
    trashRun(store, supervisor, runs[1].id, Date.now());
    const before = [...listRuns(store), ...listRuns(store, { deleted: true })];
    await close();
    for (const file of ['lab.sqlite', 'lab.sqlite-wal', 'lab.sqlite-shm']) rmSync(join(folder, file), { force: true });
    ({ supervisor, store, paths } = open());
    const after = [...listRuns(store), ...listRuns(store, { deleted: true })];
    const told = ({ id, name, status, step, seq, deletedAt, speed, startedAt }: RunRecord) => ({
      id,
      name,
      status,
      step,
      seq,
      deletedAt,
      speed,
      startedAt,
    });
    expect(after.map(told)).toEqual(before.map(told));
    expect(existsSync(runFolder(paths, runs[1].id))).toBe(true);
    restoreRun(store, supervisor, runs[1].id);
    expect(listRuns(store)).toHaveLength(2);
  });
});

describe('the queue', () => {
  it('starts as many as fit, in order, and divides the threads', async () => {
    const { supervisor, store } = open(4);
    const ids = supervisor.create(['a', 'b', 'c', 'd'].map((name) => spec(name))).map(({ id }) => id);
    await trains(lab!, ids[0]);
    await trains(lab!, ids[1]);
    expect(getRun(store, ids[0])!.facts!.threads).toBe(2);
    expect(queued(store)).toEqual([ids[2], ids[3]]);
    supervisor.reorder(ids[3], ids[2]);
    expect(queued(store)).toEqual([ids[3], ids[2]]);
    expect(() => supervisor.reorder(ids[0], null)).toThrow(/not in the queue/);
    supervisor.stop(ids[0]);
    await trains(lab!, ids[3]);
    expect(getRun(store, ids[2])!.status).toBe('queued');
    supervisor.stop(ids[2]);
    expect(getRun(store, ids[2])).toMatchObject({
      status: 'stopped',
      why: 'Taken out of the queue before it started.',
    });
    supervisor.pause(ids[1]);
    await reaches(lab!, ids[1], 'paused');
    supervisor.resume(ids[2]);
    await trains(lab!, ids[2]);
  });

  it('follows the setting', async () => {
    const { supervisor, store } = open(2);
    setSetting(store, AT_ONCE, 2);
    const ids = supervisor.create([spec('a'), spec('b', 100_000, { threads: 5 })]).map(({ id }) => id);
    for (const id of ids) await trains(lab!, id);
    expect(ids.map((id) => getRun(store, id)!.facts!.threads)).toEqual([1, 5]);
  });

  it('goes on at the next start', async () => {
    const { supervisor } = open(2);
    const ids = supervisor.create([spec('a'), spec('b', 20)]).map(({ id }) => id);
    await trains(lab!, ids[0]);
    await close();
    open(2);
    expect(getRun(lab!.store, ids[0])).toMatchObject({ status: 'interrupted', why: 'The lab went away.' });
    await reaches(lab!, ids[1], 'finished');
  });
});

describe('a worker that dies', () => {
  it('by SIGKILL leaves an interrupted run, which resumes from its checkpoint', async () => {
    const { supervisor, paths } = open();
    const [{ id }] = supervisor.create([spec('victim')]);
    await trains(lab!, id, 12);
    process.kill(readHeartbeat(runFolder(paths, id))!.pid, 'SIGKILL');
    const run = await reaches(lab!, id, 'interrupted');
    expect(run.why).toMatch(/ended by SIGKILL from outside/);
    expect(run.step).toBeGreaterThan(12);
    expectWhole(lab!, id);
    supervisor.resume(id);
    await trains(lab!, id, run.step);
    expectWhole(lab!, id);
    expect(readEvents(runFolder(paths, id), 0).events.filter(({ kind }) => kind === 'started')).toMatchObject([
      { resumed: false, step: 0 },
      { resumed: true, step: Math.floor(run.step / 10) * 10 },
    ]);
  });

  it.each([
    ['throws', /exit code 1 and without a last word\. Its last words: Error: the weights went sour/],
    ['crashes', /crashed with SIGSEGV/],
  ])('since it %s leaves a failed run with the reason', async (name, why) => {
    const { supervisor, paths } = open();
    const [{ id }] = supervisor.create([spec(name)]);
    expect((await reaches(lab!, id, 'failed')).why).toMatch(why);
    expect(readEvents(runFolder(paths, id), 0).events.at(-1)).toMatchObject({ kind: 'ended', status: 'failed' });
  });

  it('before it began, since its script is missing, leaves a failed run', async () => {
    lab = openRuns({ folder, host: 'serve', worker: join(folder, 'missing.js'), cores: 2, pollMs: 20 });
    const [{ id }] = lab.supervisor.create([spec('a')]);
    expect((await reaches(lab, id, 'failed')).why).toMatch(/missing\.js/);
  });

  it('deaf to everything is ended when the user insists', async () => {
    const { supervisor } = open();
    const [{ id }] = supervisor.create([spec('deaf')]);
    await trains(lab!, id);
    process.kill(getRun(lab!.store, id)!.ownerPid!, 'SIGSTOP');
    for (let i = 0; i < 3; i++) supervisor.stop(id);
    expect((await reaches(lab!, id, 'interrupted')).why).toMatch(/SIGKILL/);
  });
});

describe('logs and folders from elsewhere', () => {
  const foreign = async (name = 'elsewhere') => {
    open();
    const [{ id }] = lab!.supervisor.create([spec(name, 15)]);
    await reaches(lab!, id, 'finished');
    await close();
    const source = join(folder, 'runs', id);
    const copy = join(folder, 'runs', 'copied-run');
    cpSync(source, copy, { recursive: true });
    rmSync(join(copy, 'heartbeat.json'));
    return copy;
  };

  it('are taken in, at the start and while the lab is open', async () => {
    await foreign();
    open();
    expect(getRun(lab!.store, 'copied-run')).toMatchObject({ status: 'finished', step: 15 });
    cpSync(join(folder, 'runs', 'copied-run'), join(folder, 'runs', 'later-run'), { recursive: true });
    await until('the later run', () => getRun(lab!.store, 'later-run')?.step === 15);
    expectWhole(lab!, 'later-run');
  });

  it('with a torn last line are read up to it, and on when it is whole', async () => {
    const copy = await foreign();
    const log = join(copy, 'events.jsonl');
    const whole = readFileSync(log);
    const last = whole.lastIndexOf(10, whole.length - 2) + 1;
    truncateSync(log, last + 7);
    open();
    const run = getRun(lab!.store, 'copied-run')!;
    expect(run).toMatchObject({ logOffset: last, status: 'interrupted' });
    await close();
    writeFileSync(log, whole);
    open();
    expect(getRun(lab!.store, 'copied-run')).toMatchObject({ status: 'finished', logOffset: whole.length });
    expectWhole(lab!, 'copied-run');
  });

  it('with a broken line in the middle lose that line only, and say so', async () => {
    const copy = await foreign();
    const log = join(copy, 'events.jsonl');
    const lines = readFileSync(log, 'utf8').split('\n');
    lines[6] = '{"seq": 7, "kind": "metr';
    writeFileSync(log, lines.join('\n'));
    open();
    const run = getRun(lab!.store, 'copied-run')!;
    expect(run).toMatchObject({ status: 'finished', step: 15 });
    expect(warnings(lab!.store, run.key)).toMatchObject([
      { code: 'log_damaged', message: expect.stringMatching(/not an event/) },
    ]);
  });

  it('that lost their end after the store had read it are read anew', async () => {
    const copy = await foreign();
    open();
    await close();
    const log = join(copy, 'events.jsonl');
    const whole = readFileSync(log, 'utf8').split('\n');
    const kept = whole.slice(0, 8);
    const seq = JSON.parse(kept[7]).seq;
    // The machine lost power, lost lines, and the worker went on with numbers that the store had seen.
    const next = { seq: seq + 1, at: 1, kind: 'ended', step: 3, status: 'stopped', why: 'Another end.' };
    writeFileSync(
      log,
      `${kept.join('\n')}\n${JSON.stringify(next)}\n${JSON.stringify({ ...next, seq: seq + 2, why: 'x'.repeat(20_000) })}\n`,
    );
    open();
    expect(getRun(lab!.store, 'copied-run')).toMatchObject({ status: 'stopped', seq: seq + 2 });
    expectWhole(lab!, 'copied-run');
  });

  it('that are no run are left alone, with a sentence', async () => {
    mkdirSync(join(folder, 'runs', 'bad-spec'), { recursive: true });
    writeFileSync(join(folder, 'runs', 'bad-spec', 'spec.json'), '{"format": "archlab.run/1", "oops": 1}');
    mkdirSync(join(folder, 'runs', 'no-spec'));
    mkdirSync(join(folder, 'elsewhere'));
    writeFileSync(join(folder, 'elsewhere', 'spec.json'), JSON.stringify(spec('x')));
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'runs', 'link'));
    open();
    expect(listRuns(lab!.store)).toEqual([]);
    expect(said.join('\n')).toMatch(/bad-spec is not taken in: .*unknown key/s);
  });

  it('agree with the store only where the last event read ends', () => {
    appendFileSync(join(folder, 'events.jsonl'), '{"seq":1,"at":1,"kind":"state","step":0,"status":"running"}\n');
    const { offset } = readEvents(folder, 0);
    expect(agrees(folder, offset, 1)).toBe(true);
    expect(agrees(folder, offset, 2)).toBe(false);
    expect(agrees(folder, offset - 3, 1)).toBe(false);
    expect(agrees(folder, offset + 1, 1)).toBe(false);
    expect(agrees(join(folder, 'nowhere'), 0, 0)).toBe(true);
  });
});

describe('the trash', () => {
  it('is emptied after 30 days, and nothing outside runs/ is touched', async () => {
    const { supervisor, store, paths } = open();
    const ids = supervisor.create([spec('a', 3), spec('b', 3)]).map(({ id }) => id);
    for (const id of ids) await reaches(lab!, id, 'finished');
    const precious = join(folder, 'precious');
    mkdirSync(precious);
    symlinkSync(precious, join(runFolder(paths, ids[0]), 'link'));
    writeFileSync(join(precious, 'file'), 'x');
    const day = 86_400_000;
    await until('both workers to be gone', () => ids.every((id) => !supervisor.isAtWork(id)));
    trashRun(store, supervisor, ids[0], 1);
    trashRun(store, supervisor, ids[1], 20 * day);
    expect(emptyTrash(store, paths, supervisor, 31 * day)).toEqual([ids[0]]);
    expect(existsSync(runFolder(paths, ids[0]))).toBe(false);
    expect(existsSync(runFolder(paths, ids[1]))).toBe(true);
    expect(existsSync(join(precious, 'file'))).toBe(true);
    expect(() => restoreRun(store, supervisor, ids[0])).toThrow(/no longer in the trash/);
    for (const id of ['..', '../precious', 'a/b', '', 'C:\\x', '.hidden'])
      expect(() => runFolder(paths, id)).toThrow(/not the id of a run/);
  });

  it('stops what trains', async () => {
    const { supervisor, store } = open();
    const [{ id }] = supervisor.create([spec('long')]);
    await trains(lab!, id);
    trashRun(store, supervisor, id, Date.now());
    await reaches(lab!, id, 'stopped');
  });
});

describe('main', () => {
  const hosts: ChildProcess[] = [];
  let script: string;
  type Said = { runs?: { id: string; seq: number; status: RunStatus }[]; refused?: string };
  const bundle = resolve(import.meta.dirname, '../../out/test/runs-host');
  const start = (...names: string[]) => {
    const child = fork(script, [folder, FAKE, ...names], { stdio: 'inherit', execArgv: [] });
    hosts.push(child);
    let last: Said | undefined;
    child.on('message', (message: Said) => {
      last = message;
    });
    return { child, said: () => last };
  };
  const gone = (child: ChildProcess) => new Promise((done) => child.once('exit', done));

  beforeAll(async () => {
    script = join(bundle, 'host.js');
    await build({
      configFile: false,
      logLevel: 'error',
      build: { ssr: resolve(import.meta.dirname, 'testing/host.ts'), outDir: bundle, emptyOutDir: true },
    });
  }, 60_000);
  afterEach(() => {
    for (const host of hosts.splice(0)) host.kill('SIGKILL');
  });

  it('killed with SIGKILL loses nothing that was reported, and its runs can be resumed', async () => {
    const host = start('first', 'deaf');
    const reported = await until('both runs to train', () => {
      const runs = host.said()?.runs;
      return runs?.length === 2 && runs.every(({ seq }) => seq > 20) && runs;
    });
    host.child.kill('SIGKILL');
    await gone(host.child);
    open();
    for (const { id, seq } of reported) expect(getRun(lab!.store, id)!.seq).toBeGreaterThanOrEqual(seq);
    const [deaf, first] = ['deaf', 'first'].map((name) => listRuns(lab!.store).find((run) => run.name === name)!);
    // The one saw its main go and ended by itself; the other trains on, its main or not.
    expect(await reaches(lab!, first.id, 'interrupted')).toMatchObject({ why: 'The lab went away.' });
    expect((await trains(lab!, deaf.id, deaf.step)).status).toBe('running');
    expect(() => lab!.supervisor.pause(deaf.id)).toThrow(/trained by process \d+, which this window did not start/);
    process.kill(readHeartbeat(runFolder(lab!.paths, deaf.id))!.pid, 'SIGKILL');
    expect((await reaches(lab!, deaf.id, 'interrupted')).why).toMatch(/Its worker is gone/);
    for (const { id } of [first, deaf]) {
      expectWhole(lab!, id);
      const { step } = getRun(lab!.store, id)!;
      lab!.supervisor.resume(id);
      await trains(lab!, id, step);
    }
    process.kill(readHeartbeat(runFolder(lab!.paths, deaf.id))!.pid, 'SIGKILL');
  });

  it('and its workers killed with SIGKILL leave interrupted runs, even where a process id lives again', async () => {
    const host = start('first', 'second');
    await until('both runs to train', () => host.said()?.runs?.every(({ seq }) => seq > 20));
    const pids = host.said()!.runs!.map(({ id }) => readHeartbeat(join(folder, 'runs', id))!.pid);
    for (const pid of [host.child.pid!, ...pids]) process.kill(pid, 'SIGKILL');
    await gone(host.child);
    await until('the workers to be gone', () => !pids.some(exists));
    // The one's process id has gone to another since: to this very test.
    const beat = { pid: process.pid, startTime: ownStart - 600_000, at: Date.now(), step: 5 };
    writeFileSync(join(folder, 'runs', host.said()!.runs![0].id, 'heartbeat.json'), JSON.stringify(beat));
    open();
    for (const run of listRuns(lab!.store)) {
      expect(run).toMatchObject({ status: 'interrupted', why: expect.stringMatching(/Its worker is gone/) });
      expectWhole(lab!, run.id);
    }
    expect(listRuns(lab!.store)).toHaveLength(2);
  });

  it('started twice on a folder tells the second who has it, and harms nothing', async () => {
    const host = start('first');
    await until('the run to train', () => host.said()?.runs?.[0]?.seq);
    const second = start('second');
    expect(await gone(second.child)).toBe(1);
    expect(second.said()!.refused).toMatch(
      new RegExp(
        `already open in process ${host.child.pid} \\(serve, since .*Its window is at http://127.0.0.1:4321/`,
        's',
      ),
    );
    expect(() => open()).toThrow(FolderInUse);
    const before = host.said()!.runs![0].seq;
    await until('the first to go on', () => host.said()!.runs![0].seq > before);
    expect(host.said()!.runs).toHaveLength(1);
    host.child.kill('SIGKILL');
    await gone(host.child);
    open();
    expect(whoHolds(join(folder, 'lab.lock'))).toMatchObject({ pid: process.pid, address: null });
  });
});

describe('decisions', () => {
  it('about life: the process, its start, its heartbeat', () => {
    const now = 1_000_000;
    const beat = { pid: 5, startTime: 500, at: now - 100, step: 1 };
    const stale = { ...beat, at: now - STALE_MS - 1 };
    expect(isAtWork(undefined, { exists: true, start: 500 }, now)).toBe(false);
    expect(isAtWork(beat, { exists: false, start: null }, now)).toBe(false);
    expect(isAtWork(beat, { exists: true, start: 1500 }, now)).toBe(true);
    expect(isAtWork(beat, { exists: true, start: 99_500 }, now)).toBe(false);
    expect(isAtWork(stale, { exists: true, start: 500 }, now)).toBe(true);
    expect(isAtWork(beat, { exists: true, start: null }, now)).toBe(true);
    expect(isAtWork(stale, { exists: true, start: null }, now)).toBe(false);
    expect(isAtWork({ ...stale, startTime: null }, { exists: true, start: 500 }, now)).toBe(false);
  });

  it('about deaths', () => {
    expect(deathOf(137, null, '')).toMatchObject({
      status: 'interrupted',
      why: expect.stringMatching(/SIGKILL.*memory/),
    });
    expect(deathOf(null, 'SIGABRT', 'ptr\n')).toEqual({
      status: 'failed',
      why: 'The worker crashed with SIGABRT. Its last words: ptr',
    });
    expect(deathOf(3, null, '').why).toBe('The worker ended with exit code 3 and without a last word.');
  });

  it('know when processes began', () => {
    expect(exists(process.pid)).toBe(true);
    expect(exists(2 ** 22 + 1)).toBe(false);
    if (process.platform !== 'win32') expect(Math.abs(startOf(process.pid)! - ownStart)).toBeLessThan(3000);
    expect(startOf(2 ** 22 + 1)).toBeNull();
  });

  it('about where the lab is', () => {
    expect(labFolder('/x', {}, 'linux')).toBe('/x');
    expect(labFolder(undefined, { ARCHLAB_HOME: '/y' }, 'linux')).toBe('/y');
    expect(labFolder(undefined, {}, 'linux')).toMatch(/\.local\/share\/archlab$/);
    expect(labFolder(undefined, {}, 'darwin')).toMatch(/Library\/Application Support\/Archlab$/);
    expect(labFolder(undefined, { APPDATA: 'C:\\Data' }, 'win32')).toMatch(/^C:\\Data.Archlab$/);
  });

  it('about names', () => {
    const names = new Set(Array.from({ length: 50 }, (_, i) => memorableName((below) => (i * 7919) % below)));
    expect(names.size).toBeGreaterThan(20);
  });
});

describe('a full disk', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

  it('is told in words that say where and what to do', () => {
    expect(systemTrouble(full, '/lab')).toMatch(/^The disk that holds \/lab is full.*Free some space and try again/);
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'SQLITE_FULL' }), '/lab')).toMatch(/is full/);
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'EROFS' }), '/lab')).toMatch(/may not write to \/lab/);
    expect(systemTrouble(new Error('other'), '/lab')).toBeUndefined();
  });

  it('leaves no half of a run folder, and the store keeps its place until there is room', async () => {
    const { supervisor, store, paths } = open();
    expect(() =>
      createRunFolder(paths, spec('x'), () => {
        throw full;
      }),
    ).toThrow(full);
    expect(() => writeWhole(join(folder, 'nowhere', 'file'), 'x')).toThrow(/ENOENT/);
    // SQLite's own limit stands for the disk's: from here on no page can be added.
    store.db.pragma(`max_page_count = ${store.db.pragma('page_count', { simple: true })}`);
    let id: string | undefined;
    try {
      [{ id }] = supervisor.create([spec('big', 100_000)]);
    } catch (error) {
      expect(systemTrouble(error, folder)).toMatch(/is full/);
    }
    await until('the complaint', () => said.some((message) => /is full/.test(message)) || id === undefined);
    store.db.pragma('max_page_count = 1073741823');
    const run = await until('a run', () => listRuns(store)[0]);
    await trains(lab!, run.id, 20).catch(() => supervisor.resume(run.id));
    await trains(lab!, run.id, 20);
    supervisor.stop(run.id);
    await reaches(lab!, run.id, 'stopped');
    expectWhole(lab!, run.id);
  });
});

describe('the lock', () => {
  it('is taken over from one who died, and from a file that is no lock', () => {
    const path = join(folder, 'lab.lock');
    writeFileSync(path, '{"pid": 1}');
    const lock = takeLock(path, 'serve');
    expect(() => takeLock(path, 'electron')).toThrow(/already open in process/);
    lock.setAddress('http://127.0.0.1:1/');
    expect(whoHolds(path)).toMatchObject({ pid: process.pid, host: 'serve', address: 'http://127.0.0.1:1/' });
    lock.release();
    const next = takeLock(path, 'electron');
    expect(whoHolds(path)).toMatchObject({ host: 'electron', address: null });
    next.release();
    lock.release();
  });
});
