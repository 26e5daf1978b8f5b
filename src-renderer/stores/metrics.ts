// The points of the metrics that are on screen: read once in buckets, then only what is new is asked for and appended.
import { defineStore } from 'pinia';
import { onScopeDispose, shallowReactive, shallowRef, watch } from 'vue';
import type { Series } from '../../src-main/rpc/contract';
import { onNotice, onReturn, rpc } from '../rpc';
import { append, fromSeries } from './merge';
import type { Points } from './points';

/** What a part of the screen wants to have kept up to date. */
export interface Wanted {
  runs: readonly string[];
  names: readonly string[];
  /** All points instead of a min/max picture: what is averaged over seeds must not be a choice of extremes. */
  raw?: boolean;
}

/** Twice as many points at most, more than a chart has pixels. */
export const BUCKETS = 1000;
/** The most that main takes. Runs of more than twice as many reports give a picture here too, and the chart's note says so. */
export const RAW_BUCKETS = 10_000;
const FLUSH_MS = 300;

const keyOf = (run: string, name: string, raw: boolean) => `${raw ? 'raw' : 'picture'}|${run}|${name}`;

interface Track {
  points: Points;
  cursor: number;
}

export const useMetrics = defineStore('metrics', () => {
  const tracks = new Map<string, Track>();
  /** What components read: a new object whenever the points of a key grew. */
  const seen = shallowReactive(new Map<string, Points>());
  const error = shallowRef<unknown>(null);
  const wanted = new Map<symbol, Wanted>();
  /** Reads that are on their way, so that none is sent twice. */
  const loading = new Map<string, Promise<void>>();
  const stale = new Set<string>();
  let waiting = false;
  let busy = false;

  const take = (key: string, points: Points, cursor: number) => {
    tracks.set(key, { points, cursor });
    seen.set(key, points);
  };

  async function read(runs: readonly string[], names: readonly string[], raw: boolean): Promise<void> {
    const buckets = raw ? RAW_BUCKETS : BUCKETS;
    const answer = await rpc.metrics.series({ runs: [...runs], names: [...names], buckets });
    for (const series of answer)
      if (series.step.length > 0) take(keyOf(series.run, series.name, raw), fromSeries(series), series.cursor);
  }

  /** Reads what is wanted and not here; metrics that a run has not reported yet come with a later notice. */
  async function load({ runs, names, raw = false }: Wanted): Promise<void> {
    const lacking = (run: string) => names.filter((name) => !tracks.has(keyOf(run, name, raw)));
    // Runs that lack the same metrics are asked for together.
    const groups = new Map<string, { names: string[]; runs: string[] }>();
    for (const run of runs) {
      const missing = lacking(run);
      if (missing.length === 0) continue;
      const id = `${raw}|${missing.join('|')}`;
      const group = groups.get(id) ?? { names: missing, runs: [] };
      group.runs.push(run);
      groups.set(id, group);
    }
    await Promise.all(
      [...groups].map(([id, group]) => {
        const call = `${id}|${group.runs.join('|')}`;
        let reading = loading.get(call);
        if (!reading) {
          reading = read(group.runs, group.names, raw).finally(() => loading.delete(call));
          loading.set(call, reading);
        }
        return reading;
      }),
    );
  }

  /** Asks for what came after the cursors of a run's tracks, and for metrics that it did not have before. */
  async function refresh(runs: readonly string[]): Promise<void> {
    const asked = new Map<string, { after: Record<string, number>; names: string[]; raw: boolean }>();
    for (const want of wanted.values()) {
      const raw = want.raw ?? false;
      for (const run of want.runs.filter((id) => runs.includes(id))) {
        const here = want.names.flatMap((name) => tracks.get(keyOf(run, name, raw)) ?? []);
        if (here.length === 0) continue;
        const names = here.map(({ points }) => points.name);
        const id = `${raw}|${names.join('|')}`;
        const group = asked.get(id) ?? { after: {}, names, raw };
        group.after[run] = Math.min(...here.map(({ cursor }) => cursor));
        asked.set(id, group);
      }
    }
    await Promise.all([
      ...[...wanted.values()].map((want) => load({ ...want, runs: want.runs.filter((id) => runs.includes(id)) })),
      ...[...asked.values()].map(async ({ after, names, raw }) => {
        const buckets = raw ? RAW_BUCKETS : BUCKETS;
        for (const series of await rpc.metrics.series({ runs: Object.keys(after), names, buckets, after }))
          grow(series, raw);
      }),
    ]);
  }

  function grow(series: Series, raw: boolean): void {
    const key = keyOf(series.run, series.name, raw);
    const track = tracks.get(key);
    if (!track) return;
    track.cursor = Math.max(track.cursor, series.cursor);
    if (series.step.length === 0) return;
    const points = append(track.points, fromSeries(series));
    take(key, points, track.cursor);
    // What was appended is raw; once it outgrows the picture, the picture is drawn anew.
    if (!raw && points.value.length > 5 * BUCKETS) void read([series.run], [series.name], raw).catch(fail);
  }

  const fail = (failure: unknown) => {
    error.value = failure;
  };

  async function flush(): Promise<void> {
    waiting = false;
    if (busy) {
      schedule();
      return;
    }
    const runs = [...stale].filter((run) => [...wanted.values()].some((want) => want.runs.includes(run)));
    stale.clear();
    if (runs.length === 0) return;
    busy = true;
    try {
      await refresh(runs);
      error.value = null;
    } catch (failure) {
      fail(failure);
    } finally {
      busy = false;
    }
  }
  function schedule(): void {
    if (waiting) return;
    waiting = true;
    setTimeout(() => void flush(), FLUSH_MS);
  }

  onNotice((notice) => {
    if (notice.kind !== 'metrics' && notice.kind !== 'runs') return;
    for (const run of notice.kind === 'metrics' ? [notice.run] : notice.ids) stale.add(run);
    schedule();
  });
  onReturn(() => {
    for (const want of wanted.values()) for (const run of want.runs) stale.add(run);
    schedule();
  });

  /** Forgets the points of runs that nobody shows any more. */
  function forget(): void {
    const shown = new Set([...wanted.values()].flatMap(({ runs, raw = false }) => runs.map((run) => `${raw}|${run}`)));
    for (const [key, { points }] of tracks) {
      if (shown.has(`${key.startsWith('raw')}|${points.run}`)) continue;
      tracks.delete(key);
      seen.delete(key);
    }
  }

  /** Keeps what the getter wants loaded and live until the calling component goes. */
  function follow(want: () => Wanted): void {
    const owner = Symbol('follow');
    watch(
      () => {
        const { runs, names, raw = false } = want();
        return JSON.stringify({ runs, names, raw });
      },
      async (text) => {
        const next = JSON.parse(text) as Wanted;
        wanted.set(owner, next);
        forget();
        try {
          await load(next);
          error.value = null;
        } catch (failure) {
          fail(failure);
        }
      },
      { immediate: true },
    );
    onScopeDispose(() => {
      wanted.delete(owner);
      forget();
    });
  }

  /** The points that are here; reactive. */
  const points = (run: string, name: string, raw = false): Points | undefined => seen.get(keyOf(run, name, raw));

  /** Raw points between two steps, for charts that are zoomed in; bucketed only where there are more than any screen has pixels. Not kept. */
  async function detail(
    runs: readonly string[],
    names: readonly string[],
    [from, to]: readonly [number, number],
  ): Promise<Points[]> {
    const asked = { runs: [...runs], names: [...names], buckets: 10 * BUCKETS, from, to };
    return (await rpc.metrics.series(asked)).map(fromSeries);
  }

  return { follow, points, detail, error };
});
