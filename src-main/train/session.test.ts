// A whole session in this process on a disk that fills up: training goes on, nothing reported is lost, the result is waited for.
import nodeFs, { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEvents } from '../log/read';
import type { RunEvent } from '../spec/event';
import { Control } from './control';
import { work } from './session';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'archlab-session-')), 'runs', 'one');
  mkdirSync(folder, { recursive: true });
  const spec = {
    format: 'archlab.run/1',
    model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'gated_mlp' }] },
    task: { id: 'text', options: { tokens: 8 } },
    schedule: { kind: 'constant', warmup: 0 },
    budget: { steps: 12 },
    batch: { size: 2 },
    evaluation: { every: 0, batches: 1 },
    samples: { every: 0, length: 4 },
    checkpoint: { every: 4 },
  };
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
});
afterEach(() => rmSync(join(folder, '..', '..'), { recursive: true, force: true }));

/** A disk that refuses all writes while `full`. */
function disk() {
  const state = { full: false };
  const writeSync = ((...args: Parameters<typeof nodeFs.writeSync>) => {
    if (state.full) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    return (nodeFs.writeSync as (...all: unknown[]) => number)(...args);
  }) as typeof nodeFs.writeSync;
  return { state, fs: { ...nodeFs, writeSync } };
}
const session = (
  fs: typeof nodeFs,
  stepped: (step: number) => void,
  patienceMs: number,
  troubled?: (message: string | null) => void,
) =>
  work({
    folder,
    lab: undefined,
    threads: 1,
    version: '0',
    control: new Control(),
    stepped,
    troubled,
    logFs: fs,
    checkpointFs: fs,
    patienceMs,
  });
const events = () => {
  const { events: all, damaged } = readEvents(folder, 0);
  expect(damaged).toBeUndefined();
  expect(all.map((e) => e.seq)).toEqual(all.map((_, i) => i + 1));
  return all;
};
const steps = (all: RunEvent[]) => all.flatMap((e) => (e.kind === 'metric' ? [e.step] : []));

describe('a full disk', () => {
  it('for a while loses no event and keeps older checkpoints', async () => {
    const { state, fs } = disk();
    const troubles: (string | null)[] = [];
    const whole = await session(
      fs as typeof nodeFs,
      (step) => {
        state.full = step >= 6 && step < 10;
      },
      5000,
      (message) => troubles.push(message),
    );
    expect(whole).toBe(true);
    // The log can't tell of it meanwhile, so whoever watches is told: once when it begins, once when it is over.
    expect(troubles[0]).toMatch(/^The disk takes no events of the run since step \d+\. Free some space in \//);
    expect(troubles[1] ?? null).toBeNull();
    expect(troubles.length).toBeLessThanOrEqual(2);
    const all = events();
    expect(steps(all)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const warnings = all.flatMap((e) => (e.kind === 'warning' ? [e.code] : []));
    expect(warnings.filter((code) => code === 'checkpoint_failed')).toHaveLength(1);
    expect(warnings.filter((code) => code === 'disk_full')).toHaveLength(1);
    expect(all.at(-1)).toMatchObject({ kind: 'ended', status: 'finished' });
    expect(readdirSync(join(folder, 'checkpoints')).sort()).toEqual([
      'step-00000004.json',
      'step-00000004.safetensors',
      'step-00000012.json',
      'step-00000012.safetensors',
    ]);
  });

  it('is told once, however many checkpoints it refuses', async () => {
    const spec = JSON.parse(nodeFs.readFileSync(join(folder, 'spec.json'), 'utf8'));
    writeFileSync(join(folder, 'spec.json'), JSON.stringify({ ...spec, checkpoint: { every: 1 } }));
    const { state, fs } = disk();
    const fills = (step: number) => {
      state.full = (step >= 2 && step < 6) || (step >= 8 && step < 10);
    };
    expect(await session(fs as typeof nodeFs, fills, 5000)).toBe(true);
    const failures = events().flatMap((e) => (e.kind === 'warning' && e.code === 'checkpoint_failed' ? [e.step] : []));
    expect(failures).toEqual([3, 9]);
  });

  it('at the end is waited for', async () => {
    const { state, fs } = disk();
    const whole = await session(
      fs as typeof nodeFs,
      (step) => {
        if (step !== 12) return;
        state.full = true;
        setTimeout(() => {
          state.full = false;
        }, 300);
      },
      1000,
    );
    expect(whole).toBe(true);
    expect(events().at(-1)).toMatchObject({ kind: 'ended', status: 'finished', step: 12 });
    expect(readdirSync(join(folder, 'checkpoints'))).toContain('step-00000012.json');
  });

  it('for good gives up in the end, and the run can go on later', async () => {
    const { state, fs } = disk();
    const whole = await session(
      fs as typeof nodeFs,
      (step) => {
        state.full = step >= 6;
      },
      50,
    );
    expect(whole).toBe(false);
    expect(steps(events())).toEqual([1, 2, 3, 4, 5, 6]);
    state.full = false;
    expect(await session(fs as typeof nodeFs, () => {}, 50)).toBe(true);
    const all = events();
    expect(all.filter((e) => e.kind === 'started')[1]).toMatchObject({ resumed: true, step: 4 });
    expect(steps(all)).toEqual([1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(all.at(-1)).toMatchObject({ kind: 'ended', status: 'finished' });
  });
});
