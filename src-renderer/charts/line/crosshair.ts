// What the crosshair says: the value of every line at one place of the x axis. Charts of one group share it and the zoom.
import { shallowReactive } from 'vue';
import { nearestIndex, type Range } from '../../stores/points';
import type { Line } from './option';

export interface Row {
  line: Line;
  x: number;
  /** As drawn: smoothed, or the mean of a group. */
  value: number;
  /** Before smoothing; null where nothing was smoothed. */
  raw: number | null;
  std: number | null;
  n: number | null;
}

/**
 * The values at the points nearest to `x`, highest first. A line that ended or began more than a fiftieth of the visible
 * range away has nothing to say there.
 */
export function rowsAt(lines: readonly Line[], x: number, [left, right]: Range): Row[] {
  const slack = (right - left) / 50;
  const rows = lines.flatMap((line): Row[] => {
    const i = nearestIndex(line.x, x);
    if (i < 0) return [];
    const outside = x < line.x[0]! - slack || x > line.x[line.x.length - 1]! + slack;
    const value = line.y[i]!;
    if (outside || !Number.isFinite(value)) return [];
    return [
      {
        line,
        x: line.x[i]!,
        value,
        raw: line.raw ? line.raw[i]! : null,
        std: line.band && line.band.n[i]! > 1 ? line.band.std[i]! : null,
        n: line.band ? line.band.n[i]! : null,
      },
    ];
  });
  return rows.sort((a, b) => b.value - a.value);
}

/** The rows closest to a value, still highest first, and how many were left out. */
export function closest(rows: readonly Row[], value: number | null, limit: number): { rows: Row[]; more: number } {
  if (rows.length <= limit) return { rows: [...rows], more: 0 };
  const kept =
    value === null || !Number.isFinite(value)
      ? rows.slice(0, limit)
      : [...rows].sort((a, b) => Math.abs(a.value - value) - Math.abs(b.value - value)).slice(0, limit);
  return { rows: rows.filter((row) => kept.includes(row)), more: rows.length - kept.length };
}

/** The next point of any line to the right (1) or left (-1) of `x`; null at the end. */
export function nextX(lines: readonly Line[], x: number, direction: 1 | -1): number | null {
  let best: number | null = null;
  for (const { x: xs } of lines) {
    let i = nearestIndex(xs, x);
    while (i >= 0 && i < xs.length && (xs[i]! - x) * direction <= 0) i += direction;
    const at = xs[i];
    if (at !== undefined && (best === null || (at - best) * direction < 0)) best = at;
  }
  return best;
}

/** Shared by the charts that stand together: where the crosshair is, what part is shown, which run is brought forward. */
export interface ChartGroup {
  cursor: { x: number; owner: symbol } | null;
  range: Range | null;
  focus: string | null;
}
export const createGroup = (): ChartGroup => shallowReactive({ cursor: null, range: null, focus: null });

/** The least share of the whole axis that can be shown: below it lie no two points, and soon no two numbers. */
const NARROWEST = 1e-6;
const isWideEnough = ([left, right]: Range, all: Range) => right - left > (all[1] - all[0]) * NARROWEST;

/** The range around `at` made wider (factor above 1) or narrower, within `all`; null once it covers everything. */
export function zoomed(range: Range, at: number, factor: number, all: Range): Range | null {
  const left = Math.max(all[0], at - (at - range[0]) * factor);
  const right = Math.min(all[1], at + (range[1] - at) * factor);
  if (left <= all[0] && right >= all[1]) return null;
  return isWideEnough([left, right], all) ? [left, right] : range;
}

/** The part between two places, in whatever order, in place of `range`; `range` itself (null: all) where it is too narrow to be shown. */
export function between(a: number, b: number, range: Range | null, all: Range): Range | null {
  const chosen: Range = [Math.min(a, b), Math.max(a, b)];
  return isWideEnough(chosen, all) ? chosen : range;
}

/** The range moved along the axis, no further than to the ends of `all`. */
export function moved([left, right]: Range, by: number, all: Range): Range {
  const fits = Math.max(all[0] - left, Math.min(all[1] - right, by));
  return [left + fits, right + fits];
}
