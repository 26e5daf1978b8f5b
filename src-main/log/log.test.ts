// The log keeps every event through torn lines, killed writers and a full disk.
import { fork } from 'node:child_process';
import nodeFs, { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunEvent, RunEventBody } from '../spec/event';
import { type LogFs, openLog } from './append';
import { LOG_FILE, readEvents } from './read';

let folder: string;
const path = () => join(folder, LOG_FILE);
const metric = (step: number): RunEventBody => ({
  kind: 'metric',
  step,
  tokens: step * 10,
  seconds: step / 8,
  values: { 'loss/train': 5 - step / 100 },
});
const seqs = (events: RunEvent[]) => events.map((event) => event.seq);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('append and read', () => {
  it('numbers events from 1 and goes on where the log ended', () => {
    const first = openLog(folder);
    expect(first.lastSeq).toBe(0);
    expect(first.append(metric(1)).seq).toBe(1);
    first.append(metric(2));
    first.close();
    const second = openLog(folder);
    expect(second.lastSeq).toBe(2);
    expect(second.last).toMatchObject({ kind: 'metric', step: 2 });
    second.append({ kind: 'ended', step: 2, status: 'finished', why: 'the last step is done' });
    expect(second.close()).toBe(true);
    const all = readEvents(folder, 0);
    expect(seqs(all.events)).toEqual([1, 2, 3]);
    expect(all.offset).toBe(statSync(path()).size);
    expect(readEvents(folder, all.offset)).toEqual({ events: [], offset: all.offset, damaged: undefined });
  });

  it('writes not-a-number as null', () => {
    const log = openLog(folder);
    log.append({ kind: 'metric', step: 1, tokens: 1, seconds: 1, values: { 'loss/train': Number.NaN } });
    log.close();
    expect(readEvents(folder, 0).events[0]).toMatchObject({ values: { 'loss/train': null } });
  });

  it('has no events before the file is there', () => {
    expect(readEvents(folder, 0)).toEqual({ events: [], offset: 0 });
  });

  it('leaves a torn last line to later, then reads it once it is whole', () => {
    const log = openLog(folder);
    log.append(metric(1));
    log.close();
    const line = `${JSON.stringify({ seq: 2, at: 5, ...metric(2) })}\n`;
    appendFileSync(path(), line.slice(0, 20));
    const before = readEvents(folder, 0);
    expect(seqs(before.events)).toEqual([1]);
    appendFileSync(path(), line.slice(20));
    expect(seqs(readEvents(folder, before.offset).events)).toEqual([2]);
  });

  it('cuts a torn last line when it is opened, at every possible place', () => {
    const log = openLog(folder);
    log.append(metric(1));
    log.append(metric(2));
    log.close();
    const whole = readFileSync(path());
    const firstEnd = whole.indexOf(10) + 1;
    for (let length = firstEnd; length < whole.length; length += 7) {
      writeFileSync(path(), whole.subarray(0, length));
      const again = openLog(folder);
      expect(again.lastSeq).toBe(1);
      expect(again.append(metric(2)).seq).toBe(2);
      again.close();
      expect(seqs(readEvents(folder, 0).events)).toEqual([1, 2]);
    }
    writeFileSync(path(), whole.subarray(0, firstEnd - 1));
    expect(openLog(folder).lastSeq).toBe(0);
    expect(statSync(path()).size).toBe(0);
  });

  it('finds the last event behind lines longer than its first look', () => {
    const log = openLog(folder);
    log.append(metric(1));
    log.append({ kind: 'sample', step: 1, prompt: '', text: 'я'.repeat(90_000), temperature: 1 });
    log.close();
    expect(openLog(folder).lastSeq).toBe(2);
    appendFileSync(path(), 'x'.repeat(200_000));
    expect(openLog(folder).lastSeq).toBe(2);
  });

  it('reports a broken line in the middle and reads the others', () => {
    const log = openLog(folder);
    log.append(metric(1));
    log.close();
    appendFileSync(path(), `{"seq":2,"kind":"nonsense"}\n${JSON.stringify({ seq: 3, at: 1, ...metric(3) })}\n`);
    const { events, damaged } = readEvents(folder, 0);
    expect(seqs(events)).toEqual([1, 3]);
    expect(damaged).toMatch(/events\.jsonl: the line at byte \d+ is not an event/);
    appendFileSync(path(), '\u0000\u0000\n');
    const again = openLog(folder);
    expect(again.append(metric(5)).seq).toBe(5);
    again.close();
  });

  it('says so when the file is shorter than what was read of it', () => {
    openLog(folder).append(metric(1));
    expect(readEvents(folder, 10_000).damaged).toMatch(/fewer than the 10000 already read/);
  });
});

describe('a writer killed with SIGKILL', () => {
  it('loses none of the events it had reported', async () => {
    // Plain Node runs this writer, so it repeats the one call that matters: one write of a whole line.
    const script = join(folder, 'writer.mjs');
    const line = JSON.stringify({ seq: 0, at: 1, ...metric(1) });
    writeFileSync(
      script,
      `import { openSync, writeSync } from 'node:fs';
       const fd = openSync(${JSON.stringify(path())}, 'a');
       for (let seq = 1; seq < 100_000; seq++) {
         writeSync(fd, ${JSON.stringify(line)}.replace('"seq":0', '"seq":' + seq) + '\\n');
         await new Promise((sent) => process.send(seq, sent));
       }`,
    );
    const child = fork(script, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] });
    let reported = 0;
    await new Promise<void>((resolve) => {
      child.on('message', (seq: number) => {
        reported = seq;
        if (seq === 50) child.kill('SIGKILL');
      });
      child.on('exit', () => resolve());
    });
    expect(reported).toBeGreaterThanOrEqual(50);
    const log = openLog(folder);
    expect(log.lastSeq).toBeGreaterThanOrEqual(reported);
    log.append(metric(9));
    log.close();
    const { events, damaged } = readEvents(folder, 0);
    expect(damaged).toBeUndefined();
    expect(seqs(events)).toEqual(events.map((_, i) => i + 1));
  });
});

describe('a disk that takes no more', () => {
  const failing = (): LogFs & { room: number; code: string } => {
    const state = { room: Number.POSITIVE_INFINITY, code: 'ENOSPC' };
    return Object.assign(state, {
      ...nodeFs,
      writeSync: ((fd: number, line: Buffer, offset: number, length: number, at: number) => {
        if (state.room >= length) {
          state.room -= length;
          return nodeFs.writeSync(fd, line, offset, length, at);
        }
        const part = Math.floor(state.room);
        state.room = 0;
        if (part === 0) throw Object.assign(new Error('refused'), { code: state.code });
        return nodeFs.writeSync(fd, line, offset, part, at);
      }) as typeof nodeFs.writeSync,
    });
  };

  for (const code of ['ENOSPC', 'EIO'])
    it(`keeps events in memory after ${code}, writes them in order later and says so once`, () => {
      const fs = failing();
      fs.code = code;
      let now = 0;
      const wrote: number[] = [];
      const log = openLog(folder, { fs, now: () => now, wrote: (seq) => wrote.push(seq) });
      log.append(metric(1));
      fs.room = code === 'EIO' ? 0 : 30; // part of a line gets through
      for (let step = 2; step <= 50; step++) expect(log.append(metric(step)).seq).toBe(step);
      expect(log.pending).toBe(49);
      expect(log.lastSeq).toBe(50);
      expect(seqs(readEvents(folder, 0).events)).toEqual([1]);
      fs.room = Number.POSITIVE_INFINITY;
      log.append(metric(51)); // within the pause: still queued
      expect(log.pending).toBe(50);
      now = 1500;
      log.append(metric(52));
      expect(log.pending).toBe(0);
      expect(wrote).toEqual([1, 53]);
      log.append(metric(53));
      expect(log.close()).toBe(true);
      const { events, damaged } = readEvents(folder, 0);
      expect(damaged).toBeUndefined();
      expect(seqs(events)).toEqual(Array.from({ length: 54 }, (_, i) => i + 1));
      const warnings = events.filter((event) => event.kind === 'warning');
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatchObject({
        seq: 53,
        code: code === 'EIO' ? 'disk_error' : 'disk_full',
        message: expect.stringContaining('from step 2 on'),
      });
    });

  it('bounds what it keeps, and lets go of readings before anything else', () => {
    const fs = failing();
    const log = openLog(folder, { fs, now: () => 0 });
    fs.room = 0;
    log.append({ kind: 'state', step: 0, status: 'running' });
    for (let step = 1; step <= 20_100; step++) log.append(metric(step));
    expect(log.pending).toBe(20_000);
    fs.room = Number.POSITIVE_INFINITY;
    expect(log.flush()).toBe(true);
    log.close();
    const { events } = readEvents(folder, 0);
    expect(events[0]).toMatchObject({ kind: 'state' });
    expect(events[1]).toMatchObject({ kind: 'metric', step: 102 });
    expect(events.at(-1)).toMatchObject({ kind: 'warning', message: expect.stringContaining('101 of the oldest') });
    expect(seqs(events)).toEqual(Array.from({ length: 20_001 }, (_, i) => i + 1));
  });

  it('writes no event twice when the disk does not confirm it', () => {
    const fs = failing();
    const log = openLog(folder, {
      fs: {
        ...fs,
        fsyncSync: () => {
          throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' });
        },
      },
    });
    log.append({ kind: 'checkpoint', step: 1, file: 'step-00000001.safetensors', sizeBytes: 1, final: false });
    log.append(metric(2));
    expect(log.close()).toBe(true);
    const { events } = readEvents(folder, 0);
    expect(events.map((e) => [e.seq, e.kind])).toEqual([
      [1, 'checkpoint'],
      [2, 'warning'],
      [3, 'metric'],
    ]);
    expect(events[1]).toMatchObject({ code: 'disk_error', message: expect.stringContaining('EIO') });
  });

  it('says its trouble before the last word', () => {
    const fs = failing();
    const log = openLog(folder, { fs, now: () => 0 });
    fs.room = 0;
    log.append(metric(1));
    log.append({ kind: 'ended', step: 1, status: 'finished', why: 'All 1 steps are done.' });
    fs.room = Number.POSITIVE_INFINITY;
    expect(log.close()).toBe(true);
    expect(readEvents(folder, 0).events.map((e) => e.kind)).toEqual(['metric', 'warning', 'ended']);
  });

  it('tells its closer that events are lost', () => {
    const fs = failing();
    const log = openLog(folder, { fs });
    fs.room = 0;
    log.append({ kind: 'ended', step: 1, status: 'stopped', why: 'you asked for it' });
    expect(log.close()).toBe(false);
  });
});
