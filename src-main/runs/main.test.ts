// The death of main, and a second one on the same folder: each with a process of its own.
import { type ChildProcess, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'vite';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunStatus } from '../spec/event';
import { getRun, listRuns } from '../store/run';
import { readHeartbeat, runFolder } from './folder';
import { FolderInUse, takeLock, whoHolds } from './lock';
import { exists, ownStart } from './process';
import { expectWhole, FAKE, reaches, trains, until, useLab } from './testing/lab';

const at = useLab();

describe('main', () => {
  const hosts: ChildProcess[] = [];
  let script: string;
  type Said = { runs?: { id: string; seq: number; status: RunStatus }[]; refused?: string };
  const bundle = resolve(import.meta.dirname, '../../out/test/runs-host');
  const start = (...names: string[]) => {
    const child = fork(script, [at.folder, FAKE, ...names], { stdio: 'inherit', execArgv: [] });
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
    at.open();
    for (const { id, seq } of reported) expect(getRun(at.lab!.store, id)!.seq).toBeGreaterThanOrEqual(seq);
    const [deaf, first] = ['deaf', 'first'].map((name) => listRuns(at.lab!.store).find((run) => run.name === name)!);
    // The one saw its main go and ended by itself; the other trains on, its main or not.
    expect(await reaches(at.lab!, first.id, 'interrupted')).toMatchObject({ why: 'The lab went away.' });
    expect((await trains(at.lab!, deaf.id, deaf.step)).status).toBe('running');
    expect(() => at.lab!.supervisor.pause(deaf.id)).toThrow(/trained by process \d+, which this window did not start/);
    process.kill(readHeartbeat(runFolder(at.lab!.paths, deaf.id))!.pid, 'SIGKILL');
    expect((await reaches(at.lab!, deaf.id, 'interrupted')).why).toMatch(/Its worker is gone/);
    for (const { id } of [first, deaf]) {
      await expectWhole(at.lab!, id);
      const { step } = getRun(at.lab!.store, id)!;
      at.lab!.supervisor.resume(id);
      await trains(at.lab!, id, step);
    }
    process.kill(readHeartbeat(runFolder(at.lab!.paths, deaf.id))!.pid, 'SIGKILL');
  });

  it('and its workers killed with SIGKILL leave interrupted runs, even where a process id lives again', async () => {
    const host = start('first', 'second');
    await until('both runs to train', () => host.said()?.runs?.every(({ seq }) => seq > 20));
    const pids = host.said()!.runs!.map(({ id }) => readHeartbeat(join(at.folder, 'runs', id))!.pid);
    for (const pid of [host.child.pid!, ...pids]) process.kill(pid, 'SIGKILL');
    await gone(host.child);
    await until('the workers to be gone', () => !pids.some(exists));
    // The one's process id has gone to another since: to this very test.
    const beat = { pid: process.pid, startTime: ownStart - 600_000, at: Date.now(), step: 5 };
    writeFileSync(join(at.folder, 'runs', host.said()!.runs![0].id, 'heartbeat.json'), JSON.stringify(beat));
    at.open();
    for (const run of listRuns(at.lab!.store)) {
      expect(run).toMatchObject({ status: 'interrupted', why: expect.stringMatching(/Its worker is gone/) });
      await expectWhole(at.lab!, run.id);
    }
    expect(listRuns(at.lab!.store)).toHaveLength(2);
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
    expect(() => at.open()).toThrow(FolderInUse);
    const before = host.said()!.runs![0].seq;
    await until('the first to go on', () => host.said()!.runs![0].seq > before);
    expect(host.said()!.runs).toHaveLength(1);
    host.child.kill('SIGKILL');
    await gone(host.child);
    at.open();
    expect(whoHolds(join(at.folder, 'lab.lock'))).toMatchObject({ pid: process.pid, address: null });
  });
});

describe('the lock', () => {
  it('is taken over from one who died, and from a file that is no lock', () => {
    const path = join(at.folder, 'lab.lock');
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
