// A table as text, for papers and messages.
import { field } from '../../charts/line/csv';

export interface TextTable {
  head: string[];
  rows: string[][];
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
/** GitHub's Markdown; bars in cells are escaped. */
export function markdown({ head, rows }: TextTable): string {
  const line = (cells: string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}
export const csv = ({ head, rows }: TextTable): string =>
  `${[head, ...rows].map((cells) => cells.map(field).join(',')).join('\n')}\n`;
