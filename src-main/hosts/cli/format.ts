// Numbers and tables as a terminal shows them.
import { mean, sampleStandardDeviation } from 'simple-statistics';

/** `1234567` as `1.23 M`; `unit` follows the scale. */
export function short(value: number | null | undefined, unit = ''): string {
  if (value === null || value === undefined) return '-';
  for (const [scale, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (Math.abs(value) >= scale) return `${(value / scale).toPrecision(3)} ${letter}${unit}`;
  return `${Number.isInteger(value) ? value : value.toPrecision(3)}${unit ? ` ${unit}` : ''}`;
}

/** `1536` as `1.5 KiB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-';
  let rest = value;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (rest < 1024 || unit === 'GiB') return `${unit === 'B' ? rest : rest.toFixed(1)} ${unit}`;
    rest /= 1024;
  }
  throw new Error('internal: no unit was large enough');
}

/** `95` as `1 min 35 s`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Mean ± standard deviation of a sample, with its size; a single value is marked as one. */
export function spread(values: readonly number[], digits = 4): string {
  if (values.length === 0) return '-';
  const { mean: middle, std } = moments(values);
  const around = std === null ? '' : ` ± ${std.toFixed(digits)}`;
  return `${middle!.toFixed(digits)}${around} (${values.length})`;
}

/** Mean and sample standard deviation (n - 1); null for no value, and for a single one. */
export const moments = (values: readonly number[]): { mean: number | null; std: number | null } => ({
  mean: values.length ? mean([...values]) : null,
  std: values.length < 2 ? null : sampleStandardDeviation([...values]),
});

/** Rows below their titles, columns aligned: text to the left, columns whose title starts with `>` to the right. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const heads = titles.map((title) => title.replace(/^>/, ''));
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (titles[i].startsWith('>') ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(heads), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
