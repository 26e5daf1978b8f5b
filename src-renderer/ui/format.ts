// Numbers as people read them, in the language of the window: 1.2 M, 34 kB, 12.3 GFLOP, 3 min 4 s.
import { computed } from 'vue';
import { useI18n } from 'vue-i18n';

/** Gives the word of a unit, e.g. of `million`. */
export type UnitWord = (unit: string) => string;

const GAP = '\u00a0'; // no-break space between a number and its unit

/** Three significant digits without trailing zeros, as the locale writes them. */
export function significant(value: number, locale: string, digits = 3): string {
  if (!Number.isFinite(value)) return '–';
  return new Intl.NumberFormat(locale, { maximumSignificantDigits: digits, useGrouping: true }).format(value);
}

function scaled(value: number, base: number, units: readonly string[], locale: string, word: UnitWord): string {
  if (!Number.isFinite(value)) return '–';
  let scale = 0;
  let shown = value;
  // 999.6 k would round to 1000 k, so the next unit begins at 999.5.
  while (Math.abs(shown) >= 999.5 && scale < units.length - 1) {
    shown /= base;
    scale++;
  }
  const text = significant(shown, locale);
  return units[scale] ? `${text}${GAP}${word(units[scale])}` : text;
}

/** 1234567 as `1.23 M`. */
export const compact = (value: number, locale: string, word: UnitWord): string =>
  scaled(value, 1000, ['', 'thousand', 'million', 'billion', 'trillion'], locale, word);

/** Bytes in powers of 1000, as disks and networks count: `34 kB`. */
export const bytes = (value: number, locale: string, word: UnitWord): string =>
  scaled(value, 1000, ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'], locale, word);

/** Floating point operations: `12.3 GFLOP`. */
export const flops = (value: number, locale: string, word: UnitWord): string =>
  scaled(value, 1000, ['flop', 'kiloflop', 'megaflop', 'gigaflop', 'teraflop', 'petaflop'], locale, word);

/** Seconds in the two units that matter: `450 ms`, `12.3 s`, `3 min 4 s`, `2 h 5 min`. */
export function duration(seconds: number, locale: string, word: UnitWord): string {
  if (!Number.isFinite(seconds)) return '–';
  const join = (value: number, unit: string) => `${significant(value, locale)}${GAP}${word(unit)}`;
  if (seconds < 1) return join(Math.round(seconds * 1000), 'millisecond');
  if (seconds < 59.5) return join(seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds), 'second');
  const whole = Math.round(seconds);
  const [big, bigUnit, small, smallUnit] =
    whole < 3600
      ? [Math.floor(whole / 60), 'minute', whole % 60, 'second']
      : whole < 86_400
        ? [Math.floor(whole / 3600), 'hour', Math.floor((whole % 3600) / 60), 'minute']
        : [Math.floor(whole / 86_400), 'day', Math.floor((whole % 86_400) / 3600), 'hour'];
  return small ? `${join(big, bigUnit)} ${join(small, smallUnit)}` : join(big, bigUnit);
}

/** A moment, in milliseconds since 1970; a log may bear one that no calendar has. */
export const moment = (ms: number, format: Intl.DateTimeFormat): string =>
  Number.isNaN(new Date(ms).getTime()) ? '–' : format.format(ms);

/** The formats bound to the language of the window; what they return follows a change of language. */
export function useFormat() {
  const { t, locale } = useI18n();
  const word: UnitWord = (unit) => t(`shell.units.${unit}`);
  const at = computed(() => locale.value);
  return {
    /** 1.23 M */
    compact: (value: number) => compact(value, at.value, word),
    /** 34 kB */
    bytes: (value: number) => bytes(value, at.value, word),
    /** 12.3 GFLOP */
    flops: (value: number) => flops(value, at.value, word),
    /** 12.3 GFLOP/s */
    flopsPerSecond: (value: number) => t('shell.units.perSecond', { value: flops(value, at.value, word) }),
    /** 3 min 4 s */
    duration: (seconds: number) => duration(seconds, at.value, word),
    /** Three significant digits. */
    number: (value: number, digits = 3) => significant(value, at.value, digits),
    /** All digits, grouped: 1,234,567. */
    whole: (value: number) => new Intl.NumberFormat(at.value, { maximumFractionDigits: 0 }).format(value),
    /** A fixed number of decimals, for columns. */
    fixed: (value: number, decimals: number) =>
      Number.isFinite(value)
        ? new Intl.NumberFormat(at.value, {
            minimumFractionDigits: decimals,
            maximumFractionDigits: decimals,
          }).format(value)
        : '–',
    /** 0.123 as `12.3 %`. */
    percent: (share: number) =>
      new Intl.NumberFormat(at.value, { style: 'percent', maximumFractionDigits: 1 }).format(share),
    /** Date and time of day from milliseconds since 1970. */
    time: (ms: number) => moment(ms, new Intl.DateTimeFormat(at.value, { dateStyle: 'medium', timeStyle: 'short' })),
  };
}
