// The summary table: what each architecture learnt and what it cost, a row a run or a row a configuration.
import type { RunRow } from '../../../src-main/rpc/contract';
import type { RunSpec } from '../../../src-main/spec/run';
import { meanStd } from '../../charts/band';
import type { Entry } from '../../charts/lines';

export type Stat = { mean: number; std: number; n: number } | null;

export interface SummaryRow {
  entry: Entry;
  blocks: string;
  /** Newest validation loss, or training loss where none was measured yet. */
  final: Stat;
  best: Stat;
  /** Newest and best accuracy, where the task has one. */
  accuracy: Stat;
  bestAccuracy: Stat;
  /** True if `final` and `best` are of the training loss. */
  fromTraining: boolean;
  /** Median over the seeds' medians; lowest low, highest high. */
  speed: { median: number; low: number; high: number } | null;
  parameters: number | null;
  stateBytes: number | null;
  stepFlops: number | null;
  device: string;
  threads: string;
  precision: string;
  /** Steps done, and asked for. */
  step: number;
  steps: number;
  n: number;
  /** Runs that repeat a seed and are left out. */
  repeats: number;
}

const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};
const distinct = (values: readonly (string | number | null)[]) =>
  [...new Set(values.filter((value) => value !== null))].join(', ');

export function summarise(
  entries: readonly Entry[],
  rowOf: (run: string) => RunRow | undefined,
  specOf: (run: string) => RunSpec | undefined,
): SummaryRow[] {
  return entries.flatMap((entry): SummaryRow[] => {
    const rows = entry.runs.flatMap((run) => rowOf(run) ?? []);
    const first = rows[0];
    if (!first) return [];
    const of = (from: 'last' | 'best', name: string) =>
      meanStd(rows.flatMap((row) => (typeof row[from][name] === 'number' ? [row[from][name] as number] : [])));
    const fromTraining = of('last', 'loss/validation') === null;
    const loss = fromTraining ? 'loss/train' : 'loss/validation';
    const speeds = rows.flatMap((row) => row.tokensPerSecond ?? []);
    return [
      {
        entry,
        blocks: first.blocks,
        final: of('last', loss),
        best: of('best', loss),
        accuracy: of('last', 'accuracy/validation'),
        bestAccuracy: of('best', 'accuracy/validation'),
        fromTraining,
        speed: speeds.length
          ? {
              median: median(speeds.map((speed) => speed.median)),
              low: Math.min(...speeds.map((speed) => speed.low)),
              high: Math.max(...speeds.map((speed) => speed.high)),
            }
          : null,
        parameters: first.parameters,
        // What only fills in keeps nothing between tokens because it never goes on: that is no small state.
        stateBytes: first.objective === 'masked' ? null : first.stateBytes,
        stepFlops: first.stepFlops,
        device: distinct(rows.map((row) => (row.deviceDetail ? `${row.device} (${row.deviceDetail})` : row.device))),
        threads: distinct(rows.map((row) => row.threads)) || '–',
        precision: distinct(rows.map((row) => specOf(row.id)?.precision ?? null)) || '–',
        step: Math.max(...rows.map((row) => row.step)),
        steps: Math.max(...rows.map((row) => row.steps)),
        n: rows.length,
        repeats: entry.repeats?.length ?? 0,
      },
    ];
  });
}

/** The best value of a column, if at least two rows have one. */
export function bestOf(
  rows: readonly SummaryRow[],
  pick: (row: SummaryRow) => number | null | undefined,
  better: 'lower' | 'higher',
): number | null {
  const values = rows.flatMap((row) => {
    const value = pick(row);
    return typeof value === 'number' && Number.isFinite(value) ? [value] : [];
  });
  return values.length < 2 ? null : better === 'lower' ? Math.min(...values) : Math.max(...values);
}
