// The store: tables as migrated, a broken file set aside, events applied once, pictures that lose no peak.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunEvent, RunEventBody } from '../spec/event';
import { type RunSpec, runSchema } from '../spec/run';
import { checkpoints, logMark, samples, warnings } from './event';
import {
  HIGHEST,
  LOWEST,
  metricNames,
  NEWER,
  newer,
  type Point,
  parts,
  picture,
  RANGE,
  speedOf,
  standings,
} from './metric';
import { MIGRATIONS, migrate, schemaOf } from './migrate';
import { listModels, saveModel, setModelDeleted } from './model';
import { openStore, type Store } from './open';
import { project, unproject } from './project';
import {
  foldBlocks,
  forgetRun,
  getRun,
  insertRun,
  LIST_RUNS,
  listRuns,
  QUEUE,
  queued,
  setQueue,
  setStatus,
} from './run';
import { setSetting, setting, settings } from './setting';

let folder: string;
let store: Store;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-store-'));
  store = openStore(':memory:').store;
});
afterEach(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

const spec: RunSpec = runSchema.parse({
  format: 'archlab.run/1',
  model: { format: 'archlab.model/1', width: 8, layers: [{ block: 'softmax_attention' }, { block: 'gated_mlp' }] },
  task: { id: 'text' },
  budget: { steps: 100 },
});
const add = (id = 'calm-otter-1') => insertRun(store, { id, name: id, spec, createdAt: 1000, status: 'queued' });
/** Numbers the bodies from `first` on. */
const events = (bodies: RunEventBody[], first = 1): RunEvent[] =>
  bodies.map((body, i) => ({ seq: first + i, at: 5000 + i, ...body }));
const metric = (step: number, values: Record<string, number | null>): RunEventBody => ({
  kind: 'metric',
  step,
  tokens: step * 10,
  seconds: step / 4,
  values,
});
const started = (step: number, resumed: boolean): RunEventBody => ({
  kind: 'started',
  step,
  pid: 77,
  version: '0.1.0',
  resumed,
});
const steps = (points: Point[]) => points.map((point) => point.step);

describe('migrations', () => {
  it('make the tables that db/schema.sql shows', async () => {
    await expect(schemaOf(store.db)).toMatchFileSnapshot('../../db/schema.sql');
  });

  it('are numbered without gaps, and each is applied once', () => {
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, i) => i + 1));
    const before = schemaOf(store.db);
    migrate(store.db, MIGRATIONS, Date.now);
    expect(schemaOf(store.db)).toBe(before);
  });

  it('keep the rows when a later one comes', () => {
    const file = join(folder, 'lab.sqlite');
    const first = openStore(file).store;
    setSetting(first, 'theme', 'dark');
    first.close();
    const more = {
      version: MIGRATIONS.length + 1,
      file: '0999_more.sql',
      sql: 'ALTER TABLE text ADD COLUMN note TEXT;',
    };
    const second = openStore(file, { migrations: [...MIGRATIONS, more] }).store;
    expect(setting(second, 'theme')).toBe('dark');
    expect(() => second.db.prepare('SELECT note FROM text').all()).not.toThrow();
    second.close();
    expect(() => openStore(file)).toThrow(/newer version of the lab/);
    expect(readdirSync(folder).filter((name) => name.includes('broken'))).toEqual([]);
  });

  it('leave the store as it was when one of them fails', () => {
    const bad = {
      version: MIGRATIONS.length + 1,
      file: '0999_bad.sql',
      sql: 'CREATE TABLE half (x INTEGER) STRICT; CREATE TABLE run (x);',
    };
    const db = new Database(':memory:');
    expect(() => migrate(db, [...MIGRATIONS, bad], Date.now)).toThrow(/already exists/);
    expect(db.prepare('SELECT max(version) FROM schema_version').pluck().get()).toBe(MIGRATIONS.length);
    expect(db.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").pluck().get()).toBe(0);
  });
});

describe('a broken file', () => {
  it('is set aside whole, and settings and saved models come over where they can be read', () => {
    const file = join(folder, 'lab.sqlite');
    const first = openStore(file).store;
    setSetting(first, 'theme', 'dark');
    saveModel(first, { id: 'm', name: 'mine', model: spec.model, updatedAt: 5 });
    for (let i = 0; i < 300; i++)
      insertRun(first, { id: `run-${i}`, name: 'x', spec, createdAt: i, status: 'stopped' });
    first.close();
    const bytes = readFileSync(file);
    // The last pages hold run rows and their index.
    bytes.fill(0x5a, bytes.length - 8192);
    writeFileSync(file, bytes);
    const { store: second, broken } = openStore(file);
    expect(broken?.why).toMatch(/integrity check|malformed/);
    expect(readFileSync(broken!.file).equals(bytes)).toBe(true);
    expect(setting(second, 'theme')).toBe('dark');
    expect(listModels(second)).toMatchObject([{ name: 'mine' }]);
    expect(listRuns(second)).toEqual([]);
    second.close();
  });

  it('need not be a database at all', () => {
    const file = join(folder, 'lab.sqlite');
    writeFileSync(file, 'not a database, '.repeat(1000));
    const { store: second, broken } = openStore(file);
    expect(existsSync(broken!.file)).toBe(true);
    expect(listRuns(second)).toEqual([]);
    second.close();
  });
});

describe('projection', () => {
  const story = events([
    started(0, false),
    { kind: 'state', step: 0, status: 'running' },
    metric(1, { 'loss/train': 5, tokens_per_s: 100 }),
    metric(2, { 'loss/train': 4, tokens_per_s: 110 }),
    {
      kind: 'evaluation',
      step: 2,
      tokens: 20,
      seconds: 1,
      values: { 'loss/validation': 4.5, 'accuracy/validation': 0.1 },
    },
    { kind: 'sample', step: 2, prompt: 'Call', text: ' me', temperature: 0.8 },
    { kind: 'warning', step: 2, code: 'fallback', message: 'One call goes to its reference.' },
    { kind: 'checkpoint', step: 2, file: 'step-00000002.safetensors', sizeBytes: 12, final: false },
    metric(3, { 'loss/train': null }),
    { kind: 'ended', step: 3, status: 'failed', why: 'The loss is not a number any more.' },
  ]);

  it('tells how a run stands', () => {
    const { key } = add();
    expect(project(store, 'calm-otter-1', story, 900)).toEqual({ seq: 10, taken: 10, metrics: true });
    expect(getRun(store, 'calm-otter-1')).toMatchObject({
      status: 'failed',
      why: 'The loss is not a number any more.',
      step: 3,
      tokens: 30,
      seconds: 0.75,
      startedAt: 5000,
      endedAt: 5009,
      queue: null,
      seq: 10,
      logOffset: 900,
    });
    expect(standings(store, key)).toEqual([
      { run: key, name: 'accuracy/validation', last: 0.1, best: 0.1 },
      { run: key, name: 'loss/train', last: null, best: 4 },
      { run: key, name: 'loss/validation', last: 4.5, best: 4.5 },
      { run: key, name: 'tokens_per_s', last: 110, best: 110 },
    ]);
    expect(warnings(store, key)).toEqual([{ step: 2, code: 'fallback', message: 'One call goes to its reference.' }]);
    expect(samples(store, key)).toEqual([{ step: 2, prompt: 'Call', text: ' me' }]);
    expect(checkpoints(store, key)).toEqual([
      { step: 2, file: 'step-00000002.safetensors', sizeBytes: 12, final: false },
    ]);
    expect(metricNames(store, [key])).toContain('loss/train');
    const fills = [{ at: 1, length: 1, due: 'a' }];
    const filled = { kind: 'sample', step: 3, prompt: 'C_ll', text: 'Cell', temperature: 0.8, fills } as const;
    project(store, 'calm-otter-1', [{ seq: 11, at: 6000, ...filled }], 990);
    expect(samples(store, key).at(-1)).toEqual({ step: 3, prompt: 'C_ll', text: 'Cell', fills });
  });

  it('twice over, in any overlapping parts, makes the same rows', () => {
    const once = openStore(':memory:').store;
    insertRun(once, { id: 'calm-otter-1', name: 'calm-otter-1', spec, createdAt: 1000, status: 'queued' });
    project(once, 'calm-otter-1', story, 900);
    add();
    for (const [from, to] of [
      [0, 4],
      [0, 4],
      [2, 7],
      [1, 10],
      [0, 10],
    ])
      project(store, 'calm-otter-1', story.slice(from, to), to * 90);
    const rows = (of: Store) =>
      ['run', 'metric_series', 'metric_point', 'warning', 'sample', 'checkpoint'].map((table) =>
        of.db.prepare(`SELECT * FROM ${table}`).all(),
      );
    expect(rows(store)).toEqual(rows(once));
    once.close();
  });

  it('applies nothing of a batch that fails half-way', () => {
    add();
    const bad = events([metric(1, { 'loss/train': 5 }), metric(-1, { 'loss/train': 4 })]);
    expect(() => project(store, 'calm-otter-1', bad, 100)).toThrow(/CHECK/);
    expect(getRun(store, 'calm-otter-1')).toMatchObject({ seq: 0, logOffset: 0 });
    expect(store.db.prepare('SELECT count(*) FROM metric_point').pluck().get()).toBe(0);
  });

  it('lets the points after a resume replace those beyond its checkpoint, as far as it has come', () => {
    const { key } = add();
    const first = events([
      started(0, false),
      ...[1, 2, 3, 4, 5, 6].map((step) => metric(step, { 'loss/train': 10 - step })),
    ]);
    project(store, 'calm-otter-1', first, 1);
    const cursor = getRun(store, 'calm-otter-1')!.seq;
    project(store, 'calm-otter-1', events([started(2, true)], 8), 2);
    expect(steps(picture(store, key, 'loss/train', { buckets: 100 }).points)).toEqual([1, 2, 3, 4, 5, 6]);
    // The second stretch reports at 4 only: 3 is of the lost one and goes, 5 and 6 are not done again yet.
    project(store, 'calm-otter-1', events([metric(4, { 'loss/train': 7.5 })], 9), 3);
    expect(picture(store, key, 'loss/train', { buckets: 100 }).points.map((p) => [p.step, p.value])).toEqual([
      [1, 9],
      [2, 8],
      [4, 7.5],
      [5, 5],
      [6, 4],
    ]);
    expect(steps(newer(store, key, 'loss/train', cursor))).toEqual([4]);
    project(store, 'calm-otter-1', events([metric(7, { 'loss/train': 7 })], 10), 4);
    expect(steps(picture(store, key, 'loss/train', { buckets: 100 }).points)).toEqual([1, 2, 4, 7]);
    expect(standings(store, key)).toEqual([{ run: key, name: 'loss/train', last: 7, best: 7 }]);
    expect(getRun(store, 'calm-otter-1')).toMatchObject({ step: 7, status: 'starting' });
  });

  it('can be forgotten and read anew', () => {
    add();
    project(store, 'calm-otter-1', story, 900);
    const before = getRun(store, 'calm-otter-1');
    unproject(store, 'calm-otter-1');
    expect(getRun(store, 'calm-otter-1')).toMatchObject({ seq: 0, logOffset: 0, step: 0 });
    project(store, 'calm-otter-1', story, 900);
    expect(getRun(store, 'calm-otter-1')).toEqual(before);
  });

  it('marks places in a long log', () => {
    const { key } = add();
    for (let batch = 0; batch < 5; batch++)
      project(
        store,
        'calm-otter-1',
        events(
          Array.from({ length: 1500 }, () => metric(1, {})),
          batch * 1500 + 1,
        ),
        (batch + 1) * 100,
      );
    expect(logMark(store, key, 1000)).toEqual({ seq: 0, offset: 0 });
    expect(logMark(store, key, 3500)).toEqual({ seq: 3000, offset: 200 });
    expect(logMark(store, key, 9999)).toEqual({ seq: 6000, offset: 400 });
  });

  it('takes points away with their run', () => {
    add();
    project(store, 'calm-otter-1', story, 900);
    forgetRun(store, 'calm-otter-1');
    for (const table of ['metric_series', 'metric_point', 'warning', 'sample', 'checkpoint'])
      expect(store.db.prepare(`SELECT count(*) FROM ${table}`).pluck().get()).toBe(0);
  });
});

describe('the queue', () => {
  it('keeps its order and lets runs join and leave', () => {
    for (const id of ['a', 'b', 'c']) add(id);
    expect(queued(store)).toEqual(['a', 'b', 'c']);
    setQueue(store, ['c', 'a', 'b']);
    setStatus(store, 'a', 'starting', { pid: 5 });
    expect(queued(store)).toEqual(['c', 'b']);
    setStatus(store, 'a', 'queued');
    expect(queued(store)).toEqual(['c', 'b', 'a']);
  });
});

/** The same picture by plain loops over all points. */
function plainPicture(points: Point[], buckets: number, from: number, to: number): Point[] {
  const inside = points.filter(({ step }) => step >= from && step <= to).sort((a, b) => a.step - b.step);
  if (inside.length <= 2 * buckets) return inside;
  const low = inside[0].step;
  const span = inside[inside.length - 1].step - low + 1;
  const bucketOf = (step: number) => {
    let i = 0;
    while (low + Math.floor(((i + 1) * span) / buckets) <= step) i += 1;
    return i;
  };
  const kept: Point[] = [];
  for (let i = 0; i < buckets; i++) {
    const own = inside.filter(({ step }) => bucketOf(step) === i);
    const numbers = own.filter(({ value }) => value !== null) as (Point & { value: number })[];
    const chosen = new Set<Point>();
    if (numbers.length) {
      chosen.add(numbers.reduce((a, b) => (b.value < a.value ? b : a)));
      chosen.add(numbers.reduce((a, b) => (b.value > a.value ? b : a)));
    }
    const gap = own.find(({ value }) => value === null);
    if (gap) chosen.add(gap);
    kept.push(...own.filter((point) => chosen.has(point)));
  }
  return kept;
}

describe('min/max pictures', () => {
  /** A generator of its own, so that the test has the same points everywhere. */
  const drawn = (count: number, seed: number): Point[] => {
    let state = seed;
    const next = () => {
      state = (state * 1664525 + 1013904223) % 4294967296;
      return state / 4294967296;
    };
    let step = 0;
    return Array.from({ length: count }, (_, i) => {
      step += 1 + Math.floor(next() * 3);
      const value = next() < 0.02 ? null : Math.exp(-i / count) + next();
      return { step, tokens: step * 10, seconds: step / 4, value };
    });
  };
  const fill = (points: Point[]) => {
    const { key } = add();
    project(store, 'calm-otter-1', events(points.map(({ step, value }) => metric(step, { loss: value }))), 1);
    return key;
  };

  it.each([
    [1, 10],
    [20, 10],
    [21, 10],
    [500, 7],
    [999, 100],
    [999, 1],
  ])('of %i points in %i buckets are those of plain loops', (count, buckets) => {
    const points = drawn(count, count + buckets);
    const key = fill(points);
    const last = points[points.length - 1].step;
    for (const [from, to] of [
      [0, last],
      [Math.floor(last / 3), Math.floor(last / 2)],
      [last, last * 2],
    ]) {
      const inside = points.filter(({ step }) => step >= from && step <= to);
      const { points: kept, raw } = picture(store, key, 'loss', { buckets, from, to });
      expect(kept).toEqual(plainPicture(points, buckets, from, to));
      expect(raw).toBe(inside.length);
    }
  });

  it('are empty for what nobody reported', () => {
    const { key } = add();
    expect(picture(store, key, 'loss', { buckets: 10 })).toEqual({ points: [], raw: 0 });
    expect(newer(store, key, 'loss', 0)).toEqual([]);
    expect(speedOf(store, key)).toBeNull();
  });

  it('cut the steps into parts that cover each once', () => {
    const all = [...parts(3, 41, 7)];
    expect(all.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i))).toEqual(
      Array.from({ length: 39 }, (_, i) => 3 + i),
    );
    expect([...parts(5, 6, 10)]).toEqual([
      [5, 5],
      [6, 6],
    ]);
  });

  it('of a million points come within a second of computing', () => {
    const { key } = add();
    project(store, 'calm-otter-1', events([metric(0, { loss: 1 })]), 1);
    store.db.exec(
      `WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
       INSERT INTO metric_point (series, step, value, tokens, seconds, seq)
       SELECT (SELECT key FROM metric_series), i, (i * 7919) % 10007 / 10007.0, i * 10, i / 4.0, i + 1 FROM n`,
    );
    // The processor's time, which other work beside the test does not lengthen.
    const spentMs = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    };
    const begin = spentMs();
    const { points, raw } = picture(store, key, 'loss', { buckets: 1000 });
    // Two scans in SQLite take about 0.15 s here; a loop over rows in JavaScript would take seconds.
    expect(spentMs() - begin).toBeLessThan(1000);
    expect(raw).toBe(1_000_001);
    expect(points).toHaveLength(2000);
    const again = spentMs();
    expect(newer(store, key, 'loss', 999_990)).toHaveLength(11);
    expect(spentMs() - again).toBeLessThan(50);
  });
});

describe('query plans', () => {
  const plan = (text: string, ...args: unknown[]) =>
    (store.db.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...args) as { detail: string }[])
      .map(({ detail }) => detail)
      .join('\n');

  it.each([
    [
      'points in a range',
      RANGE,
      [1, 0, 9],
      /^SEARCH metric_point USING PRIMARY KEY \(series=\? AND step>\? AND step<\?\)$/,
    ],
    [
      'the lowest of a bucket',
      LOWEST,
      [1, 0, 9],
      /^SEARCH metric_point USING PRIMARY KEY \(series=\? AND step>\? AND step<\?\)$/,
    ],
    [
      'the highest of a bucket',
      HIGHEST,
      [1, 0, 9],
      /^SEARCH metric_point USING PRIMARY KEY \(series=\? AND step>\? AND step<\?\)$/,
    ],
    ['newer points', NEWER, [1, 0], /^SEARCH metric_point USING INDEX metric_point_by_seq \(series=\? AND seq>\?\)$/],
    ['the list of runs', LIST_RUNS, [], /^SEARCH run USING INDEX run_by_time \(deleted_at=\?\)$/],
    ['the queue', QUEUE, [], /^SEARCH run USING INDEX run_by_queue \(queue>\?\)$/],
  ])('%s needs no scan of points and no sorting', (_, text, args, expected) => {
    expect(plan(text, ...args)).toMatch(expected);
  });
});

describe('a full disk', () => {
  it('does not keep the store from closing', () => {
    const store = openStore(join(folder, 'full.sqlite')).store;
    store.db.pragma = () => {
      throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
    };
    store.close();
    expect(store.db.open).toBe(false);
  });
});

describe('settings, models, blocks in a line', () => {
  it('keep plain data by key', () => {
    setSetting(store, 'runs.atOnce', 2);
    setSetting(store, 'panes', { left: 200 });
    setSetting(store, 'runs.atOnce', 3);
    expect(settings(store)).toEqual({ panes: { left: 200 }, 'runs.atOnce': 3 });
    setSetting(store, 'panes', null);
    expect(setting(store, 'panes')).toBeUndefined();
  });

  it('take models to the trash and back', () => {
    saveModel(store, { id: 'm', name: 'mine', model: spec.model, updatedAt: 5 });
    expect(setModelDeleted(store, 'm', 10)).toBe(true);
    expect(listModels(store)).toEqual([]);
    expect(setModelDeleted(store, 'm', null)).toBe(true);
    expect(listModels(store)).toEqual([{ id: 'm', name: 'mine', model: spec.model, updatedAt: 5 }]);
    expect(setModelDeleted(store, 'unknown', 10)).toBe(false);
  });

  it('fold equal neighbours', () => {
    const a = { block: 'softmax_attention' };
    const m = { block: 'gated_mlp' };
    expect(foldBlocks([])).toBe('');
    expect(foldBlocks([a, m])).toBe('softmax_attention + gated_mlp');
    expect(foldBlocks([a, a, m])).toBe('softmax_attention ×2 + gated_mlp');
    expect(foldBlocks([{ repeat: 4, layers: [a, m] }])).toBe('softmax_attention + gated_mlp ×4');
    expect(foldBlocks([{ repeat: 4, layers: [a, m] }, a])).toBe(
      '(softmax_attention + gated_mlp) ×4 + softmax_attention',
    );
    expect(foldBlocks([{ parallel: [[a], [m]], combine: 'sum' }])).toBe('(softmax_attention ∥ gated_mlp)');
  });
});
