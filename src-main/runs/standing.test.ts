// The decisions about runs, without any process.
import { describe, expect, it } from 'vitest';
import { labFolder } from './folder';
import { memorableName } from './name';
import { exists, ownStart, startOf } from './process';
import { deathOf, isAtWork, STALE_MS, systemTrouble } from './standing';

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
    expect(deathOf(4, null, '').why).toBe('The worker ended with exit code 4 and without a last word.');
    expect(deathOf(3, null, '')).toMatchObject({
      status: 'interrupted',
      why: expect.stringMatching(/^The disk took no events .* Free some space, then resume/),
    });
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

  it('about a full disk are words that say where and what to do', () => {
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'ENOSPC' }), '/lab')).toMatch(
      /^The disk that holds \/lab is full.*Free some space and try again/,
    );
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'SQLITE_FULL' }), '/lab')).toMatch(/is full/);
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'EROFS' }), '/lab')).toMatch(/may not write to \/lab/);
    const made = Object.assign(new Error('x'), { code: 'ENOENT', syscall: 'mkdir' });
    expect(systemTrouble(made, '/lab')).toMatch(/may not write to \/lab/);
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'ENOENT', syscall: 'open' }), '/lab')).toBeUndefined();
    expect(systemTrouble(Object.assign(new Error('x'), { code: 'SQLITE_CANTOPEN_ISDIR' }), '/lab')).toMatch(
      /can't make or open its files in \/lab .*--folder on another one/,
    );
    expect(systemTrouble(new Error('other'), '/lab')).toBeUndefined();
  });
});
