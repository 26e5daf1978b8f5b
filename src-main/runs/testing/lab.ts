// What the tests of this room share: a lab in a folder of its own, with a worker that counts instead of training.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { readEvents } from '../../log/read';
import type { RunStatus } from '../../spec/event';
import { type RunSpec, runSchema } from '../../spec/run';
import { picture } from '../../store/metric';
import { getRun, type RunRecord } from '../../store/run';
import { runFolder } from '../folder';
import { type OpenRuns, openRuns } from '../open';

export const FAKE = resolve(import.meta.dirname, 'worker.mjs');

/** Begins each test of a file with an empty lab folder, and clears up after it. */
export function useLab() {
  const at = {
    folder: '',
    /** What the lab complained of. */
    said: [] as string[],
    lab: undefined as OpenRuns | undefined,
    open(cores = 8): OpenRuns {
      at.lab = openRuns({
        folder: at.folder,
        host: 'serve',
        worker: FAKE,
        cores,
        pollMs: 20,
        complain: (message) => at.said.push(message),
      });
      return at.lab;
    },
    async close(): Promise<void> {
      await at.lab?.close();
      at.lab = undefined;
    },
  };
  beforeEach(() => {
    at.folder = mkdtempSync(join(tmpdir(), 'archlab-runs-'));
    at.said = [];
  });
  afterEach(async () => {
    await at.close();
    rmSync(at.folder, { recursive: true, force: true });
  });
  return at;
}

export const spec = (name: string, steps = 100_000, more: object = {}): RunSpec =>
  runSchema.parse({
    format: 'archlab.run/1',
    name,
    model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'mlp' }] },
    task: { id: 'text' },
    budget: { steps },
    ...more,
  });

export async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 3000; i++) {
    const found = look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}
export const reaches = (of: OpenRuns, id: string, status: RunStatus): Promise<RunRecord> =>
  until(`${id} to be ${status} (it is ${getRun(of.store, id)?.status}: ${getRun(of.store, id)?.why})`, () => {
    const run = getRun(of.store, id)!;
    return run.status === status && run;
  });
export const trains = (of: OpenRuns, id: string, past = 0): Promise<RunRecord> =>
  until(`${id} to train`, () => {
    const run = getRun(of.store, id)!;
    return run.status === 'running' && run.step > past && run;
  });
/** Every event that the log has by now comes into the store: its points, each step once, and no event is left out. */
export async function expectWhole(of: OpenRuns, id: string): Promise<void> {
  const log = () => readEvents(runFolder(of.paths, id), 0).events;
  const newest = log().at(-1)!.seq;
  const run = await until('the store to catch up', () => {
    const now = getRun(of.store, id)!;
    return now.seq >= newest && now;
  });
  const { points } = picture(of.store, run.key, 'loss/train', { buckets: 1e6 });
  const events = log().filter(({ seq }) => seq <= run.seq);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  const steps = new Set(events.filter(({ kind }) => kind === 'metric').map(({ step }) => step));
  expect(points.map(({ step }) => step)).toEqual([...steps].sort((a, b) => a - b));
}
