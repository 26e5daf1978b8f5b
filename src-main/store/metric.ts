// Metric points in the store: newest and best values, raw points, and the min/max pictures that charts draw.
import { metricBetter } from './better';
import type { Store } from './open';

export interface Point {
  step: number;
  tokens: number;
  seconds: number;
  value: number | null;
}

/** Where the newest stretch of a run's work began: points of an earlier one beyond `step` are done anew by it. */
export interface Stretch {
  seq: number;
  step: number;
}

interface SeriesRow {
  key: number;
  best: number | null;
}

/**
 * Adds one report of one metric. Points of an earlier stretch that lie between this stretch's start and this step
 * give way to it; those that it has not come to yet stay.
 */
export function addPoint(
  store: Store,
  run: number,
  name: string,
  { step, tokens, seconds, value }: Point,
  seq: number,
  stretch: Stretch,
): void {
  const known = store.sql<SeriesRow>('SELECT key, best FROM metric_series WHERE run = ? AND name = ?').get(run, name);
  const key =
    known?.key ??
    Number(store.sql('INSERT INTO metric_series (run, name) VALUES (?, ?)').run(run, name).lastInsertRowid);
  let best = known?.best ?? null;
  if (stretch.seq > 1) {
    const { changes } = store
      .sql('DELETE FROM metric_point WHERE series = ? AND step > ? AND step <= ? AND seq < ?')
      .run(key, stretch.step, step, stretch.seq);
    if (changes > 0) best = bestOf(store, key, name);
  }
  store
    .sql('INSERT OR REPLACE INTO metric_point (series, step, value, tokens, seconds, seq) VALUES (?, ?, ?, ?, ?, ?)')
    .run(key, step, value, tokens, seconds, seq);
  if (value !== null && (best === null || (metricBetter(name) === 'lower' ? value < best : value > best))) best = value;
  store.sql('UPDATE metric_series SET last = ?, best = ? WHERE key = ?').run(value, best, key);
}

function bestOf(store: Store, key: number, name: string): number | null {
  const pick = metricBetter(name) === 'lower' ? 'min' : 'max';
  return (
    store.sql<{ best: number | null }>(`SELECT ${pick}(value) AS best FROM metric_point WHERE series = ?`).get(key)
      ?.best ?? null
  );
}

export interface Standing {
  run: number;
  name: string;
  last: number | null;
  best: number | null;
}

/** Newest and best value of each metric, of one run or of all. */
export const standings = (store: Store, run?: number): Standing[] =>
  run === undefined
    ? store.sql<Standing>('SELECT run, name, last, best FROM metric_series ORDER BY run, name').all()
    : store.sql<Standing>('SELECT run, name, last, best FROM metric_series WHERE run = ? ORDER BY name').all(run);

/** Tokens a second over the newest 400 reports: median, 10th and 90th percentile; the first three of a run are warm-up. */
export function speedOf(store: Store, run: number): { median: number; low: number; high: number } | null {
  const values = store
    .sql<{ value: number }>(
      `SELECT value FROM metric_point
       WHERE series = (SELECT key FROM metric_series WHERE run = ? AND name = 'tokens_per_s')
       ORDER BY step DESC LIMIT 403`,
    )
    .all(run)
    .map(({ value }) => value);
  const warm = (values.length > 3 ? values.slice(0, Math.min(400, values.length - 3)) : values)
    .filter((value) => value !== null)
    .sort((a, b) => a - b);
  if (warm.length === 0) return null;
  const at = (share: number) => warm[Math.min(warm.length - 1, Math.floor(share * warm.length))];
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

/** Names of all metrics that any of the runs reported, sorted. */
export function metricNames(store: Store, runs: readonly number[]): string[] {
  const names = new Set<string>();
  for (const run of runs)
    for (const { name } of store.sql<{ name: string }>('SELECT name FROM metric_series WHERE run = ?').all(run))
      names.add(name);
  return [...names].sort();
}

export const NEWER = `SELECT step, tokens, seconds, value FROM metric_point
  WHERE series = ? AND seq > ? ORDER BY seq`;
export const RANGE = `SELECT step, tokens, seconds, value FROM metric_point
  WHERE series = ? AND step BETWEEN ? AND ? ORDER BY step`;
const COUNT = `SELECT count(*) AS points, min(step) AS low, max(step) AS high FROM metric_point
  WHERE series = ? AND step BETWEEN ? AND ?`;
/** SQLite takes the bare columns from the row that holds the minimum (maximum): one scan answers with a whole point. */
export const LOWEST = `SELECT step, tokens, seconds, min(value) AS value, count(*) AS points, count(value) AS numbers
  FROM metric_point WHERE series = ? AND step BETWEEN ? AND ?`;
export const HIGHEST = `SELECT step, tokens, seconds, max(value) AS value
  FROM metric_point WHERE series = ? AND step BETWEEN ? AND ?`;
const FIRST_GAP = `SELECT step, tokens, seconds, value FROM metric_point
  WHERE series = ? AND step BETWEEN ? AND ? AND value IS NULL ORDER BY step LIMIT 1`;

const seriesKey = (store: Store, run: number, name: string): number | undefined =>
  store.sql<{ key: number }>('SELECT key FROM metric_series WHERE run = ? AND name = ?').get(run, name)?.key;

/** Points that came after event `seq`, in order of their steps. */
export function newer(store: Store, run: number, name: string, seq: number): Point[] {
  const key = seriesKey(store, run, name);
  if (key === undefined) return [];
  return store
    .sql<Point>(NEWER)
    .all(key, seq)
    .sort((a, b) => a.step - b.step);
}

/**
 * Points between two steps. Where there are more than two a bucket, the steps are cut into `buckets` equal parts and each
 * gives its lowest and its highest point, and its first not-a-number where it has one.
 */
export function picture(
  store: Store,
  run: number,
  name: string,
  { buckets, from = 0, to = Number.MAX_SAFE_INTEGER }: { buckets: number; from?: number; to?: number },
): { points: Point[]; raw: number } {
  const key = seriesKey(store, run, name);
  if (key === undefined) return { points: [], raw: 0 };
  const {
    points: raw,
    low,
    high,
  } = store.sql<{ points: number; low: number; high: number }>(COUNT).get(key, from, to)!;
  if (raw <= 2 * buckets) return { points: store.sql<Point>(RANGE).all(key, from, to), raw };
  const lowest = store.sql<Point & { points: number; numbers: number }>(LOWEST);
  const highest = store.sql<Point>(HIGHEST);
  const points: Point[] = [];
  for (const [first, last] of parts(low, high, buckets)) {
    const least = lowest.get(key, first, last)!;
    if (least.points === 0) continue;
    const found: Point[] = [];
    if (least.numbers > 0) {
      const { points: _points, numbers: _numbers, ...point } = least;
      const most = highest.get(key, first, last)!;
      found.push(point);
      if (most.step !== point.step) found.push(most);
    }
    if (least.numbers < least.points) found.push(store.sql<Point>(FIRST_GAP).get(key, first, last)!);
    points.push(...found.sort((a, b) => a.step - b.step));
  }
  return { points, raw };
}

/** Cuts the steps from `low` to `high` into `count` parts that differ by at most one step; both ends of each included. */
export function* parts(low: number, high: number, count: number): Generator<[number, number]> {
  const span = high - low + 1;
  for (let i = 0; i < count; i++) {
    const first = low + Math.floor((i * span) / count);
    const last = low + Math.floor(((i + 1) * span) / count) - 1;
    if (last >= first) yield [first, last];
  }
}

/** Every raw point of a run, metric by metric, in step order. */
export function* allPoints(store: Store, run: number): Generator<Point & { name: string }> {
  const series = store
    .sql<{ key: number; name: string }>('SELECT key, name FROM metric_series WHERE run = ? ORDER BY name')
    .all(run);
  for (const { key, name } of series)
    for (const point of store.sql<Point>(RANGE).iterate(key, 0, Number.MAX_SAFE_INTEGER)) yield { ...point, name };
}
