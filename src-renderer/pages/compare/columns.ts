// Columns of the summary table: what each shows, what is the best of it, and which say the same of every row.
import { spread } from '../../charts/format';
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
    value: (row) => of(row)?.mean,
    better,
    loss,
  });
  const stat = (value: Stat) => (value ? spread(value, locale) : NONE);
  const range = ({ low, high }: { low: number; high: number }) => `[${format.compact(low)}, ${format.compact(high)}]`;
  const all: (Column | false)[] = [
    measured('final', (row) => row.final, 'lower', true),
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

/** Columns to show, and those whose one value for all rows is said in a line instead: of several rows, as one has nothing to differ from. */
export function split(columns: readonly Column[], rows: readonly SummaryRow[]): { shown: Column[]; same: Column[] } {
  const isSame = ({ shared, text }: Column) =>
    shared === true && rows.length > 0 && rows.every((row) => text(row) === text(rows[0]));
  return { shown: columns.filter((column) => !isSame(column)), same: columns.filter(isSame) };
}
