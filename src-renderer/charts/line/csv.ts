// What a chart shows as a table: a row a point, full precision.
import type { Line } from './option';

/** Quotes a field where it must be, and keeps spreadsheets from reading a name as a formula. */
export function field(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
const cell = (value: number | undefined) => (value === undefined || !Number.isFinite(value) ? '' : String(value));

/** `line,<axis>,value,raw,std,n`; empty cells where a line has no such thing. */
export function linesCsv(lines: readonly Line[], axis: string): string {
  const rows = [`line,${axis},value,raw,std,n`];
  for (const { label, x, y, raw, band } of lines)
    for (let i = 0; i < x.length; i++)
      rows.push(
        [field(label), cell(x[i]), cell(y[i]), cell((raw ?? y)[i]), cell(band?.std[i]), cell(band?.n[i])].join(','),
      );
  return `${rows.join('\n')}\n`;
}
