// From the points of runs to the lines of a chart: smoothing, and seeds joined into a mean with a band.

import { type Points, type XAxis, xOf } from '../stores/points';
import { aggregate, type Band } from './band';
import type { Mark } from './colours';
import type { Line } from './line/option';
import { type Smoothing, smooth } from './smooth';

/** One row of the list beside the charts: a run, or the seeds of one configuration. */
export interface Entry {
  key: string;
  label: string;
  mark: Mark;
  /** Ids of the runs in it. */
  runs: readonly string[];
  /** Draws mean and band over its runs; a single run in it is marked as one. */
  grouped: boolean;
  /** Runs that repeat a seed of it, and are not drawn or counted again. */
  repeats?: readonly string[];
}

export type PointsOf = (run: string, name: string) => Points | undefined;

export interface LineSettings {
  axis: XAxis;
  smoothing: Smoothing;
  /** Evaluations: drawn with a marker a point, never smoothed. */
  markers?: boolean;
  /** Added to the label, to tell two metrics of one chart apart. */
  suffix?: string;
}

const NONE: Smoothing = { kind: 'none', strength: 0 };
const smoothed = new WeakMap<object, Map<string, Float64Array>>();
const bands = new WeakMap<Points, { rest: readonly Points[]; band: Band }>();

/** Smooths a column once for as long as its owner lives. */
function smoothOnce(owner: object, column: string, values: ArrayLike<number>, smoothing: Smoothing): Float64Array {
  const key = `${column}|${smoothing.kind}|${smoothing.strength}|${values.length}`;
  let kept = smoothed.get(owner);
  if (!kept) {
    kept = new Map();
    smoothed.set(owner, kept);
  }
  let out = kept.get(key);
  if (!out) {
    // One strength at a time is on screen; older ones would only pile up while the slider moves.
    if (kept.size > 8) kept.clear();
    out = smooth(values, smoothing);
    kept.set(key, out);
  }
  return out;
}

function bandOnce(seeds: readonly Points[]): Band {
  const kept = bands.get(seeds[0]!);
  if (kept && kept.rest.length === seeds.length && kept.rest.every((points, i) => points === seeds[i]))
    return kept.band;
  const band = aggregate(seeds);
  bands.set(seeds[0]!, { rest: [...seeds], band });
  return band;
}

/** The lines of one metric, an entry a line, in the order of the entries; those without points are left out. */
export function metricLines(
  entries: readonly Entry[],
  name: string,
  pointsOf: PointsOf,
  settings: LineSettings,
): Line[] {
  return entries.flatMap((entry) => {
    const seeds = entry.runs
      .flatMap((run) => pointsOf(run, name) ?? [])
      .filter((points) => xOf(points, settings.axis).length > 0);
    if (seeds.length === 0) return [];
    const common = {
      id: `${entry.key}|${name}`,
      key: entry.key,
      label: settings.suffix ? `${entry.label} · ${settings.suffix}` : entry.label,
      name: entry.label,
      part: settings.suffix,
      mark: entry.mark,
      markers: settings.markers,
      points: {
        shown: seeds.reduce((sum, points) => sum + points.value.length, 0),
        raw: seeds.reduce((sum, points) => sum + Math.max(points.raw, points.value.length), 0),
      },
    };
    const smoothing = settings.markers ? NONE : settings.smoothing;
    const bare = smoothing.kind === 'none' || smoothing.strength === 0;
    if (!entry.grouped || seeds.length === 1) {
      const points = seeds[0]!;
      const label = entry.grouped ? `${common.label} (n = 1)` : common.label;
      const y = bare ? points.value : smoothOnce(points, 'value', points.value, smoothing);
      return { ...common, label, x: xOf(points, settings.axis), y, raw: bare ? undefined : points.value };
    }
    const band = bandOnce(seeds);
    // Smoothing is linear, so the smoothed mean is the mean of smoothed seeds; the band keeps its raw width around it.
    const y = bare ? band.mean : smoothOnce(band, 'mean', band.mean, smoothing);
    const std = bare ? band.std : smoothOnce(band, 'std', band.std, smoothing);
    return {
      ...common,
      label: `${common.label} (n = ${seeds.length})`,
      x: settings.axis === 'flops' ? band.tokens.map((tokens) => tokens * seeds[0]!.tokenFlops!) : band[settings.axis],
      y,
      raw: bare ? undefined : band.mean,
      band: {
        low: Float64Array.from(y, (m, i) => m - std[i]!),
        high: Float64Array.from(y, (m, i) => m + std[i]!),
        std,
        n: band.n,
      },
    };
  });
}
