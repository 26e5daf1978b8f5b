// Any other metric as lines: throughput, gradient norm, learning rate, accuracy, slices.
import type { Line } from '../line/option';
import { type Entry, type LineSettings, metricLines, type PointsOf } from '../lines';

/** How a metric is drawn: evaluations carry markers, a schedule is exact and never smoothed. */
export function drawing(name: string): { markers: boolean; exact: boolean } {
  return { markers: /^\w+\/validation/.test(name), exact: name === 'lr' };
}

export function linesOfMetric(
  entries: readonly Entry[],
  name: string,
  pointsOf: PointsOf,
  settings: LineSettings,
): Line[] {
  const { markers, exact } = drawing(name);
  const smoothing = exact ? { kind: 'none' as const, strength: 0 } : settings.smoothing;
  return metricLines(entries, name, pointsOf, { ...settings, smoothing, markers });
}
