// Columns of the summary table: what each shows, what is the best of it, and which say the same of every row.
import { againstLowest, halfWidth95 } from '../../../src-main/spec/significance';
import { measured as shown, spread } from '../../charts/format';
import type { useFormat } from '../../ui/format';
import type { Stat, SummaryRow } from './summary';

export interface Column {
  /** Names the words for it too: `compare.summary.<key>`. */
  key: string;
  numeric: boolean;
  /** The whole, as it is copied. */
  text(row: SummaryRow): string;
  /** What the cell shows, where that is less than the whole: the measure, and its spread below. */
  lines?(row: SummaryRow): [string, string];
  /** The 95 % confidence interval of the mean, where seeds give one. */
  interval?(row: SummaryRow): [string, string] | null;
  value?(row: SummaryRow): number | null | undefined;
  better?: 'lower' | 'higher';
  /** Of the loss, which may still be that of training. */
  loss?: boolean;
  /** Of the circumstances: said once where it is the same for all rows. */
  shared?: boolean;
}

const NONE = '–';

/** All columns that these rows have anything to say of. */
export function summaryColumns(
  rows: readonly SummaryRow[],
  format: Pick<ReturnType<typeof useFormat>, 'compact' | 'bytes' | 'flops' | 'whole'>,
  locale: string,
): Column[] {
  const measured = (key: string, of: (row: SummaryRow) => Stat, better: Column['better'], loss = false): Column => ({
    key,
    numeric: true,
    text: (row) => stat(of(row)),
    lines: (row) => {
      const [mean, ...deviation] = stat(of(row)).split(' ± ');
      return [mean, deviation.map((text) => `± ${text}`).join('')];
    },
    interval: (row) => {
      const value = of(row);
      const half = value && halfWidth95(value);
      return value && half ? [shown(value.mean - half, locale), shown(value.mean + half, locale)] : null;
    },
    value: (row) => of(row)?.mean,
    better,
    loss,
  });
  const tests = testsAgainstBest(rows);
  const stat = (value: Stat) => (value ? spread(value, locale) : NONE);
  const range = ({ low, high }: { low: number; high: number }) => `[${format.compact(low)}, ${format.compact(high)}]`;
  const all: (Column | false)[] = [
    measured('final', (row) => row.final, 'lower', true),
    tests.size > 0 && {
      key: 'p',
      numeric: true,
      text: (row) => {
        const p = tests.get(row);
        return p === undefined ? NONE : p < 0.001 ? `< ${precise(0.001, locale)}` : precise(p, locale);
      },
    },
    measured('best', (row) => row.best, 'lower', true),
    rows.some((row) => row.bestAccuracy) && measured('accuracy', (row) => row.bestAccuracy, 'higher'),
    {
      key: 'speed',
      numeric: true,
      better: 'higher',
      text: ({ speed }) => (speed ? `${format.compact(speed.median)} ${range(speed)}` : NONE),
      lines: ({ speed }) => (speed ? [format.compact(speed.median), range(speed)] : [NONE, '']),
      value: (row) => row.speed?.median,
    },
    {
      key: 'parameters',
      numeric: true,
      text: (row) => (row.parameters === null ? NONE : format.compact(row.parameters)),
    },
    {
      key: 'state',
      numeric: true,
      text: (row) => (row.stateBytes === null ? NONE : format.bytes(row.stateBytes)),
      value: (row) => row.stateBytes,
      better: 'lower',
    },
    {
      key: 'flops',
      numeric: true,
      text: (row) => (row.stepFlops === null ? NONE : format.flops(row.stepFlops)),
      value: (row) => row.stepFlops,
      better: 'lower',
    },
    { key: 'device', numeric: false, shared: true, text: (row) => row.device },
    { key: 'threads', numeric: true, shared: true, text: (row) => row.threads },
    { key: 'precision', numeric: false, shared: true, text: (row) => row.precision },
    {
      key: 'steps',
      numeric: true,
      shared: true,
      text: (row) =>
        row.step < row.steps ? `${format.whole(row.step)} / ${format.whole(row.steps)}` : format.whole(row.steps),
    },
    { key: 'n', numeric: true, shared: true, text: (row) => String(row.n) },
  ];
  return all.filter((column): column is Column => !!column);
}

const precise = (p: number, locale: string) => new Intl.NumberFormat(locale, { maximumSignificantDigits: 2 }).format(p);

/** Welch's p of each row's final loss against that of the row with the lowest, where both have seeds enough. */
export function testsAgainstBest(rows: readonly SummaryRow[]): Map<SummaryRow, number> {
  const tests = againstLowest(rows.map(({ final, fromTraining }) => (fromTraining ? null : final)));
  return new Map(rows.flatMap((row, i) => (tests[i] === null ? [] : [[row, tests[i]!] as const])));
}

/** By how much the largest number of parameters exceeds the smallest, as a share; null unless two rows have one. */
export function parameterSpread(rows: readonly SummaryRow[]): number | null {
  const counts = rows.flatMap(({ parameters }) => (parameters ? [parameters] : []));
  return counts.length < 2 ? null : Math.max(...counts) / Math.min(...counts) - 1;
}

/** Columns to show, and those whose one value for all rows is said in a line instead: of several rows, as one has nothing to differ from. */
export function split(columns: readonly Column[], rows: readonly SummaryRow[]): { shown: Column[]; same: Column[] } {
  const isSame = ({ shared, text }: Column) =>
    shared === true && rows.length > 0 && rows.every((row) => text(row) === text(rows[0]));
  return { shown: columns.filter((column) => !isSame(column)), same: columns.filter(isSame) };
}
