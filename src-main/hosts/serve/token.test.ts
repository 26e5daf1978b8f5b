// The token of a lab folder: the same at the next start, its owner's alone, and never one that others could have read.
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { labToken } from './token';

let folder: string;
const file = () => join(folder, 'serve.token');
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-token-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('is kept, for its owner alone', () => {
  const token = labToken(folder);
  expect(token).toMatch(/^[\w-]{32}$/);
  expect(readFileSync(file(), 'utf8')).toBe(token);
  if (process.platform !== 'win32') expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(labToken(folder)).toBe(token);
});

it('is made anew where it is damaged, or where there is none', () => {
  const token = labToken(folder);
  for (const text of ['', 'short', `${token}\n`, 'x'.repeat(1000)]) {
    writeFileSync(file(), text, { mode: 0o600 });
    const fresh = labToken(folder);
    expect(fresh).toMatch(/^[\w-]{32}$/);
    expect(fresh).not.toBe(token);
    expect(labToken(folder)).toBe(fresh);
  }
});

it.skipIf(process.platform === 'win32')('is made anew where others could read it, or where it is a link', () => {
  const token = labToken(folder);
  chmodSync(file(), 0o640);
  const fresh = labToken(folder);
  expect(fresh).not.toBe(token);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  const elsewhere = join(folder, 'elsewhere');
  writeFileSync(elsewhere, token, { mode: 0o600 });
  rmSync(file());
  symlinkSync(elsewhere, file());
  expect(labToken(folder)).not.toBe(token);
  expect(readFileSync(elsewhere, 'utf8')).toBe(token);
});

it('serves one start where the folder can not be written', () => {
  const nowhere = join(folder, 'missing');
  expect(labToken(nowhere)).toMatch(/^[\w-]{32}$/);
  expect(labToken(nowhere)).not.toBe(labToken(nowhere));
});
