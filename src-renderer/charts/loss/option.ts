// Loss: training smoothed with the raw line behind, evaluations as markers on a line of their own.
import type { Line } from '../line/option';
import { type Entry, type LineSettings, metricLines, type PointsOf } from '../lines';

export const LOSS_NAMES = ['loss/train', 'loss/validation'] as const;

/** Training and validation loss of every entry; `words` name the two in labels. */
export function lossLines(
  entries: readonly Entry[],
  pointsOf: PointsOf,
  settings: LineSettings,
  words: { train: string; validation: string },
): Line[] {
  return [
    ...metricLines(entries, 'loss/train', pointsOf, { ...settings, suffix: words.train }),
    ...metricLines(entries, 'loss/validation', pointsOf, { ...settings, suffix: words.validation, markers: true }),
  ];
}
