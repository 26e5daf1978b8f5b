// One block against its golden cases: what is summed up, and what a wrong case says.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { useDevice } from '../ops';
import { agreeBlock, countCases } from './agreement';

const GOLDEN = resolve(import.meta.dirname, '../../test/golden');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-agreement-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('names the worst tensor and how many were compared, case by case', async () => {
  const facts = await useDevice('cpu', { threads: 1 });
  const told: string[] = [];
  const found = await agreeBlock(GOLDEN, 'slstm_cell', facts, ({ case: name, done, total }) =>
    told.push(`${done}/${total} ${name}`),
  );
  expect(found).toMatchObject({ block: 'slstm_cell', device: 'cpu', ok: true, failures: [] });
  expect(found.cases).toBe(countCases(GOLDEN, ['slstm_cell', 'gated_mlp']).slstm_cell);
  expect(told).toHaveLength(found.cases);
  expect(told[0]).toMatch(new RegExp(`^0/${found.cases} `));
  expect(found.tensors).toBeGreaterThan(10);
  expect(found.worst!.error).toBeLessThan(found.worst!.tolerance);
  expect(found.kernelVersion).toBe(facts.kernelVersion);
  expect(JSON.parse(JSON.stringify(found))).toEqual(found);
});

it('says what strays, and what could not be run', async () => {
  const facts = await useDevice('cpu', { threads: 1 });
  cpSync(join(GOLDEN, 'wkv4'), join(folder, 'wkv4'), { recursive: true });
  const files = Object.keys(countCases(folder, ['wkv4'])).length;
  expect(files).toBe(1);
  const { findCases } = await import('./parity');
  const [first, second] = findCases(join(folder, 'wkv4'));
  // A tolerance that no float32 arithmetic meets, and a file that is cut off.
  const header = JSON.parse(readFileSync(first, 'utf8'));
  writeFileSync(first, JSON.stringify({ ...header, tolerance: { forward: 1e-300, backward: 1e-300, decode: 1e-300 } }));
  writeFileSync(second.replace(/json$/, 'safetensors'), 'torn');
  const found = await agreeBlock(folder, 'wkv4', facts);
  expect(found.ok).toBe(false);
  expect(found.failures.length).toBe(5);
  expect(found.failures[0]).toMatch(/^\S+, forward, output\/\S+: \d\.\de-\d+ is beyond 1e-300$/);
  expect(found.worst!.tolerance).toBe(1e-300);
  await expect(agreeBlock(folder, 'hydra', facts)).rejects.toThrow('there is no golden case of hydra');
});
