// Runs and their workers: queue, commands, deaths of every kind, folders from elsewhere, the trash, a full disk.
import { fork } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { readEvents } from '../log/read';
import { checkpoints, warnings } from '../store/event';
import { getRun, listRuns, queued, type RunRecord } from '../store/run';
import { setSetting } from '../store/setting';
import { countAtWork } from './at-work';
import { agrees } from './catch-up';
import { eventsAfter } from './events';
import { createRunFolder, readHeartbeat, readSpec, runFolder, writeWhole } from './folder';
import { openRuns } from './open';
import { systemTrouble } from './standing';
import { AT_ONCE } from './supervisor';
import { expectWhole, FAKE, reaches, spec, trains, until, useLab } from './testing/lab';
import { emptyTrash, renameRun, restoreRun, trashRun } from './trash';

const at = useLab();

describe('a run', () => {
  it('is made, trained and finished', async () => {
    const { supervisor, paths, store } = at.open();
    const [made] = supervisor.create([spec('short', 25)]);
    expect(made.id).toMatch(/^[a-z]+-[a-z]+-[2-9a-z]{4}$/);
    expect(readSpec(runFolder(paths, made.id))).toEqual(spec('short', 25));
    const run = await reaches(at.lab!, made.id, 'finished');
    expect(run).toMatchObject({
      step: 25,
      tokens: 1000,
      why: 'The last step is done.',
      ownerPid: null,
      facts: { threads: 8 },
    });
    expect(run.speed).toEqual({ median: 4000, low: 4000, high: 4000 });
    await until('its size', () => getRun(store, made.id)!.sizeBytes! > 1000);
    expect(checkpoints(store, run.key).map(({ step }) => step)).toEqual([10, 20, 25]);
    expect(eventsAfter(store, paths, run, 3, 2).map(({ seq }) => seq)).toEqual([4, 5]);
    expect(() => supervisor.resume(made.id)).toThrow(/finished: there is nothing to resume/);
    await expectWhole(at.lab!, made.id);
  });

  it('is paused, stepped, resumed and stopped', async () => {
    const { supervisor } = at.open();
    const [{ id }] = supervisor.create([spec('long')]);
    expect(() => supervisor.step(id)).toThrow(/only a paused run takes single steps/);
    await trains(at.lab!, id);
    supervisor.pause(id);
    const { step } = await reaches(at.lab!, id, 'paused');
    supervisor.step(id);
    await until('one step', () => getRun(at.lab!.store, id)!.step === step + 1);
    await new Promise((done) => setTimeout(done, 50));
    expect(getRun(at.lab!.store, id)!.step).toBe(step + 1);
    supervisor.resume(id);
    await trains(at.lab!, id, step + 2);
    supervisor.stop(id);
    await reaches(at.lab!, id, 'stopped');
    supervisor.resume(id);
    await trains(at.lab!, id, step + 2);
    await expectWhole(at.lab!, id);
  });

  it('that is resumed before its worker has left waits for it', async () => {
    const { supervisor, store, paths } = at.open();
    const [{ id }] = supervisor.create([spec('lingers')]);
    await trains(at.lab!, id);
    supervisor.stop(id);
    const { step } = await reaches(at.lab!, id, 'stopped');
    supervisor.resume(id);
    expect(getRun(store, id)!.status).toBe('queued');
    await trains(at.lab!, id, step);
    const kinds = readEvents(runFolder(paths, id), 0).events.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'started' || kind === 'ended')).toEqual(['started', 'ended', 'started']);
    await expectWhole(at.lab!, id);
  });

  it('in the trash is not resumed', async () => {
    const { supervisor, store } = at.open();
    const [{ id }] = supervisor.create([spec('long')]);
    await trains(at.lab!, id);
    trashRun(store, supervisor, id, Date.now());
    await reaches(at.lab!, id, 'stopped');
    expect(() => supervisor.resume(id)).toThrow(/long is in the trash: bring it back first/);
    restoreRun(store, supervisor, id);
    supervisor.resume(id);
    await trains(at.lab!, id);
  });

  it('that no one knows is answered in words', () => {
    const { supervisor } = at.open();
    for (const act of [supervisor.pause, supervisor.resume, supervisor.step, supervisor.stop])
      expect(() => act.call(supervisor, 'nobody')).toThrow('There is no run "nobody" in this lab');
  });

  it('keeps its name and its place in the trash in its at.folder, where a lost store finds them again', async () => {
    let { supervisor, store, paths } = at.open();
    const runs = supervisor.create([spec('a', 5), spec('b', 5)]);
    for (const { id } of runs) await reaches(at.lab!, id, 'finished');
    renameRun(store, supervisor, runs[0].id, 'renamed');
    trashRun(store, supervisor, runs[1].id, Date.now());
    const before = [...listRuns(store), ...listRuns(store, { deleted: true })];
    await at.close();
    for (const file of ['lab.sqlite', 'lab.sqlite-wal', 'lab.sqlite-shm'])
      rmSync(join(at.folder, file), { force: true });
    ({ supervisor, store, paths } = at.open());
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
    const { supervisor, store } = at.open(4);
    const ids = supervisor.create(['a', 'b', 'c', 'd'].map((name) => spec(name))).map(({ id }) => id);
    await trains(at.lab!, ids[0]);
    await trains(at.lab!, ids[1]);
    expect(getRun(store, ids[0])!.facts!.threads).toBe(2);
    expect(queued(store)).toEqual([ids[2], ids[3]]);
    supervisor.reorder(ids[3], ids[2]);
    supervisor.reorder(ids[3], ids[3]);
    expect(queued(store)).toEqual([ids[3], ids[2]]);
    expect(() => supervisor.reorder(ids[0], null)).toThrow(/not in the queue/);
    supervisor.stop(ids[0]);
    await trains(at.lab!, ids[3]);
    expect(getRun(store, ids[2])!.status).toBe('queued');
    supervisor.stop(ids[2]);
    expect(getRun(store, ids[2])).toMatchObject({
      status: 'stopped',
      why: 'Taken out of the queue before it started.',
    });
    supervisor.pause(ids[1]);
    await reaches(at.lab!, ids[1], 'paused');
    supervisor.resume(ids[2]);
    await trains(at.lab!, ids[2]);
  });

  it('follows the setting', async () => {
    const { supervisor, store } = at.open(2);
    setSetting(store, AT_ONCE, 2);
    const ids = supervisor.create([spec('a'), spec('b', 100_000, { threads: 5 })]).map(({ id }) => id);
    for (const id of ids) await trains(at.lab!, id);
    expect(ids.map((id) => getRun(store, id)!.facts!.threads)).toEqual([1, 5]);
  });

  it('gives a lone run all cores, and shares them anew when a run joins, pauses, goes on or leaves', async () => {
    const { supervisor, store } = at.open(8);
    const told = (id: string) => {
      const file = join(runFolder(at.lab!.supervisor.paths, id), 'threads');
      return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
    };
    const shortly = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 20 });
    const [first] = supervisor.create([spec('a')]).map(({ id }) => id);
    await trains(at.lab!, first);
    expect(getRun(store, first)!.facts!.threads).toBe(8);
    const [second, fixed] = supervisor.create([spec('b'), spec('c', 100_000, { threads: 5 })]).map(({ id }) => id);
    for (const id of [second, fixed]) await trains(at.lab!, id);
    expect(getRun(store, second)!.facts!.threads).toBe(2);
    await shortly(() => expect(told(first)).toBe(2));
    supervisor.pause(second);
    await shortly(() => expect(told(first)).toBe(4));
    supervisor.resume(second);
    await shortly(() => expect(told(first)).toBe(2));
    supervisor.stop(fixed);
    await shortly(() => expect([told(first), told(second)]).toEqual([4, 4]));
    expect(told(fixed)).toBeUndefined();
  });

  it('counts a run that the command line trains in its folder, until that ends', async () => {
    const { supervisor, store, paths } = at.open(8);
    const [own] = supervisor.create([spec('a')]).map(({ id }) => id);
    await trains(at.lab!, own);
    const foreign = createRunFolder(paths, spec('theirs'));
    const child = fork(FAKE, ['--run', runFolder(paths, foreign)], { env: { ...process.env, ARCHLAB_THREADS: '8' } });
    const file = join(runFolder(paths, own), 'threads');
    const shortly = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 20 });
    await shortly(() => expect(readFileSync(file, 'utf8')).toBe('4'));
    // It takes no room in the queue, and what starts beside it has its share from the first update on.
    const [next] = supervisor.create([spec('b')]).map(({ id }) => id);
    await trains(at.lab!, next);
    expect(getRun(store, next)!.facts!.threads).toBe(2);
    child.send({ kind: 'stop' });
    await reaches(at.lab!, foreign, 'stopped');
    await shortly(() => expect(readFileSync(file, 'utf8')).toBe('4'));
    expect(countAtWork(paths)).toBe(2);
  });

  it('goes on at the next start', async () => {
    const { supervisor } = at.open(2);
    const ids = supervisor.create([spec('a'), spec('b', 20)]).map(({ id }) => id);
    await trains(at.lab!, ids[0]);
    await at.close();
    at.open(2);
    expect(getRun(at.lab!.store, ids[0])).toMatchObject({ status: 'interrupted', why: 'The lab went away.' });
    await reaches(at.lab!, ids[1], 'finished');
  });
});

describe('a worker that dies', () => {
  it('by SIGKILL leaves an interrupted run, which resumes from its checkpoint', async () => {
    const { supervisor, paths } = at.open();
    const [{ id }] = supervisor.create([spec('victim')]);
    await trains(at.lab!, id, 12);
    process.kill(readHeartbeat(runFolder(paths, id))!.pid, 'SIGKILL');
    const run = await reaches(at.lab!, id, 'interrupted');
    expect(run.why).toMatch(/ended by SIGKILL from outside/);
    expect(run.step).toBeGreaterThan(12);
    await expectWhole(at.lab!, id);
    supervisor.resume(id);
    await trains(at.lab!, id, run.step);
    await expectWhole(at.lab!, id);
    expect(readEvents(runFolder(paths, id), 0).events.filter(({ kind }) => kind === 'started')).toMatchObject([
      { resumed: false, step: 0 },
      { resumed: true, step: Math.floor(run.step / 10) * 10 },
    ]);
  });

  it.each([
    ['throws', /exit code 1 and without a last word\. Its last words: Error: the weights went sour/],
    ['crashes', /crashed with SIGSEGV/],
  ])('since it %s leaves a failed run with the reason', async (name, why) => {
    const { supervisor, paths } = at.open();
    const [{ id }] = supervisor.create([spec(name)]);
    expect((await reaches(at.lab!, id, 'failed')).why).toMatch(why);
    expect(readEvents(runFolder(paths, id), 0).events.at(-1)).toMatchObject({ kind: 'ended', status: 'failed' });
  });

  it('before it began, since its script is missing, leaves a failed run', async () => {
    at.lab = openRuns({ folder: at.folder, host: 'serve', worker: join(at.folder, 'missing.js'), cores: 2 });
    const [{ id }] = at.lab.supervisor.create([spec('a')]);
    expect((await reaches(at.lab, id, 'failed')).why).toMatch(/missing\.js/);
  });

  it('deaf to everything is ended when the user insists', async () => {
    const { supervisor } = at.open();
    const [{ id }] = supervisor.create([spec('deaf')]);
    await trains(at.lab!, id);
    process.kill(getRun(at.lab!.store, id)!.ownerPid!, 'SIGSTOP');
    for (let i = 0; i < 3; i++) supervisor.stop(id);
    expect((await reaches(at.lab!, id, 'interrupted')).why).toMatch(/SIGKILL/);
  });
});

describe('logs and folders from elsewhere', () => {
  const foreign = async (name = 'elsewhere') => {
    at.open();
    const [{ id }] = at.lab!.supervisor.create([spec(name, 15)]);
    await reaches(at.lab!, id, 'finished');
    await at.close();
    const source = join(at.folder, 'runs', id);
    const copy = join(at.folder, 'runs', 'copied-run');
    cpSync(source, copy, { recursive: true });
    rmSync(join(copy, 'heartbeat.json'));
    return copy;
  };

  it('are taken in, at the start and while the lab is open', async () => {
    await foreign();
    at.open();
    expect(getRun(at.lab!.store, 'copied-run')).toMatchObject({ status: 'finished', step: 15 });
    cpSync(join(at.folder, 'runs', 'copied-run'), join(at.folder, 'runs', 'later-run'), { recursive: true });
    await until('the later run', () => getRun(at.lab!.store, 'later-run')?.step === 15);
    await expectWhole(at.lab!, 'later-run');
  });

  it('that go on although their run was over are read on', async () => {
    const copy = await foreign();
    at.open();
    const { seq } = getRun(at.lab!.store, 'copied-run')!;
    const more = { seq: seq + 1, at: 1, kind: 'warning', step: 15, code: 'late', message: 'One thing more.' };
    appendFileSync(join(copy, 'events.jsonl'), `${JSON.stringify(more)}\n`);
    const run = await until('the late event', () => {
      const now = getRun(at.lab!.store, 'copied-run')!;
      return now.seq > seq && now;
    });
    expect(warnings(at.lab!.store, run.key)).toMatchObject([{ code: 'late' }]);
  });

  it('with a torn last line are read up to it, and on when it is whole', async () => {
    const copy = await foreign();
    const log = join(copy, 'events.jsonl');
    const whole = readFileSync(log);
    const last = whole.lastIndexOf(10, whole.length - 2) + 1;
    truncateSync(log, last + 7);
    at.open();
    const run = getRun(at.lab!.store, 'copied-run')!;
    expect(run).toMatchObject({ logOffset: last, status: 'interrupted' });
    await at.close();
    writeFileSync(log, whole);
    at.open();
    expect(getRun(at.lab!.store, 'copied-run')).toMatchObject({ status: 'finished', logOffset: whole.length });
    await expectWhole(at.lab!, 'copied-run');
  });

  it('with a broken line in the middle lose that line only, and say so', async () => {
    const copy = await foreign();
    const log = join(copy, 'events.jsonl');
    const lines = readFileSync(log, 'utf8').split('\n');
    lines[6] = '{"seq": 7, "kind": "metr';
    writeFileSync(log, lines.join('\n'));
    at.open();
    const run = getRun(at.lab!.store, 'copied-run')!;
    expect(run).toMatchObject({ status: 'finished', step: 15 });
    expect(warnings(at.lab!.store, run.key)).toMatchObject([
      { code: 'log_damaged', message: expect.stringMatching(/not an event/) },
    ]);
  });

  it('that lost their end after the store had read it are read anew', async () => {
    const copy = await foreign();
    at.open();
    await at.close();
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
    at.open();
    expect(getRun(at.lab!.store, 'copied-run')).toMatchObject({ status: 'stopped', seq: seq + 2 });
    await expectWhole(at.lab!, 'copied-run');
  });

  it('that are no run are left alone, with a sentence', async () => {
    mkdirSync(join(at.folder, 'runs', 'bad-spec'), { recursive: true });
    writeFileSync(join(at.folder, 'runs', 'bad-spec', 'spec.json'), '{"format": "archlab.run/1", "oops": 1}');
    mkdirSync(join(at.folder, 'runs', 'no-spec'));
    mkdirSync(join(at.folder, 'elsewhere'));
    writeFileSync(join(at.folder, 'elsewhere', 'spec.json'), JSON.stringify(spec('x')));
    symlinkSync(join(at.folder, 'elsewhere'), join(at.folder, 'runs', 'link'));
    at.open();
    expect(listRuns(at.lab!.store)).toEqual([]);
    const refused = () => at.said.filter((message) => /bad-spec is not taken in: .*unknown key/s.test(message));
    expect(refused()).toHaveLength(1);
  });

  it('agree with the store only where the last event read ends', () => {
    appendFileSync(join(at.folder, 'events.jsonl'), '{"seq":1,"at":1,"kind":"state","step":0,"status":"running"}\n');
    const { offset } = readEvents(at.folder, 0);
    expect(agrees(at.folder, offset, 1)).toBe(true);
    expect(agrees(at.folder, offset, 2)).toBe(false);
    expect(agrees(at.folder, offset - 3, 1)).toBe(false);
    expect(agrees(at.folder, offset + 1, 1)).toBe(false);
    expect(agrees(join(at.folder, 'nowhere'), 0, 0)).toBe(true);
  });
});

describe('the trash', () => {
  it('is emptied after 30 days, and nothing outside runs/ is touched', async () => {
    const { supervisor, store, paths } = at.open();
    const ids = supervisor.create([spec('a', 3), spec('b', 3)]).map(({ id }) => id);
    for (const id of ids) await reaches(at.lab!, id, 'finished');
    const precious = join(at.folder, 'precious');
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
    const { supervisor, store } = at.open();
    const [{ id }] = supervisor.create([spec('long')]);
    await trains(at.lab!, id);
    trashRun(store, supervisor, id, Date.now());
    await reaches(at.lab!, id, 'stopped');
  });
});

describe('a queued run', () => {
  it('that is deleted and brought back waits in the queue again, over a restart too', async () => {
    const { supervisor, store } = at.open(1);
    setSetting(store, AT_ONCE, 1);
    const ids = supervisor.create([spec('a'), spec('b'), spec('c')]).map(({ id }) => id);
    await trains(at.lab!, ids[0]);
    trashRun(store, supervisor, ids[1], Date.now());
    expect(queued(store)).toEqual([ids[2]]);
    restoreRun(store, supervisor, ids[1]);
    expect(getRun(store, ids[1])).toMatchObject({ status: 'queued', deletedAt: null, why: null });
    expect(queued(store)).toEqual([ids[2], ids[1]]);
    trashRun(store, supervisor, ids[1], Date.now());
    trashRun(store, supervisor, ids[2], Date.now());
    supervisor.stop(ids[0]);
    await reaches(at.lab!, ids[0], 'stopped');
    await at.close();
    const again = at.open(1);
    expect(queued(again.store)).toEqual([]);
    restoreRun(again.store, again.supervisor, ids[2]);
    await trains(again, ids[2]);
    expect(getRun(again.store, ids[1])!.step).toBe(0);
  });
});

describe('paused runs', () => {
  it('go on only where there is room, and say why they stay', async () => {
    const { supervisor, store } = at.open(1);
    setSetting(store, AT_ONCE, 1);
    const ids = supervisor.create([spec('a'), spec('b')]).map(({ id }) => id);
    await trains(at.lab!, ids[0]);
    supervisor.pause(ids[0]);
    await trains(at.lab!, ids[1]); // a paused run takes no room
    expect(() => supervisor.resume(ids[0])).toThrow(/^a stays paused: 1 run is at work already, the most at once/);
    supervisor.pause(ids[1]);
    await reaches(at.lab!, ids[1], 'paused');
    supervisor.resume(ids[0]);
    // Told to go on a moment ago: it takes room before its log says so.
    expect(() => supervisor.resume(ids[1])).toThrow(/^b stays paused/);
    await trains(at.lab!, ids[0], getRun(store, ids[0])!.step + 1);
    supervisor.resume(ids[0]);
  });
});

describe('a full disk', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

  it('that does not take the mark of the trash leaves the run in the list and at work', async () => {
    const { supervisor, store, paths } = at.open();
    const [{ id }] = supervisor.create([spec('long')]);
    await trains(at.lab!, id);
    // A folder in the place of the label refuses to be written as a disk without room does.
    mkdirSync(join(runFolder(paths, id), 'label.json'));
    expect(() => trashRun(store, supervisor, id, Date.now())).toThrow();
    expect(getRun(store, id)!.deletedAt).toBeNull();
    await trains(at.lab!, id, getRun(store, id)!.step + 20);
  });

  it('at which a worker dies leaves the lab open, and the run is judged when there is room', async () => {
    const { supervisor, store } = at.open();
    const [{ id }] = supervisor.create([spec('long')]);
    const { ownerPid } = await trains(at.lab!, id);
    store.db.pragma('query_only = ON');
    process.kill(ownerPid!, 'SIGKILL');
    await until('the complaint', () => at.said.some((message) => /may not write/.test(message)));
    await until('the worker to be gone', () => !supervisor.isAtWork(id));
    store.db.pragma('query_only = OFF');
    await reaches(at.lab!, id, 'interrupted');
    supervisor.resume(id);
    await trains(at.lab!, id);
  });

  it('leaves no half of a run at.folder, and the store keeps its place until there is room', async () => {
    const { supervisor, store, paths } = at.open();
    expect(() =>
      createRunFolder(paths, spec('x'), () => {
        throw full;
      }),
    ).toThrow(full);
    expect(() => writeWhole(join(at.folder, 'nowhere', 'file'), 'x')).toThrow(/ENOENT/);
    // SQLite's own limit stands for the disk's: from here on no page can be added.
    store.db.pragma(`max_page_count = ${store.db.pragma('page_count', { simple: true })}`);
    let id: string | undefined;
    try {
      [{ id }] = supervisor.create([spec('big', 100_000)]);
    } catch (error) {
      expect(systemTrouble(error, at.folder)).toMatch(/is full/);
    }
    await until('the complaint', () => at.said.some((message) => /is full/.test(message)) || id === undefined);
    store.db.pragma('max_page_count = 1073741823');
    const run = await until('a run', () => listRuns(store)[0]);
    await trains(at.lab!, run.id, 20).catch(() => supervisor.resume(run.id));
    await trains(at.lab!, run.id, 20);
    supervisor.stop(run.id);
    await reaches(at.lab!, run.id, 'stopped');
    await expectWhole(at.lab!, run.id);
  });
});
