// What a field of the inspector says of its option, and how typed text becomes its value.
import type { Option } from '../../src-main/spec/options';

/** What the field of an option is called: its title, else its name as words, `normBeforeGate` as "norm before gate". */
export const labelOf = (name: string, option?: Option): string =>
  option?.title ??
  name.replace(/([a-z0-9])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`);

/** The numbers an option lies between, if it has such. */
export function rangeOf(option: Option): { low: number; high: number } | null {
  return 'min' in option ? { low: option.min, high: option.max } : null;
}

/** Reads `4, 8, 16`; null where some part is not a number. */
export function parseNumbers(text: string): number[] | null {
  const parts = text.split(/[,;\s]+/).filter(Boolean);
  const numbers = parts.map(Number);
  return numbers.every(Number.isFinite) ? numbers : null;
}

/** The step of the small arrows: what the option counts in, or a tenth of its size for a number with a point. */
export function stepOf(option: Option, value: number): number {
  if (option.kind === 'int') return option.step ?? 1;
  const size = Math.abs(value) || 1;
  return 10 ** (Math.floor(Math.log10(size)) - 1);
}
