// Numbers of measurements, beside the general formats of ui/format.ts: values on axes, in tooltips and in summaries.

const MISSING = '–';
const THIN = '\u202f'; // narrow no-break space between a number and its unit

const formats = new Map<string, Intl.NumberFormat>();
function formatted(value: number, locale: string, options: Intl.NumberFormatOptions): string {
  const key = `${locale}|${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, options);
    formats.set(key, format);
  }
  return format.format(value);
}

/** A measured value with the digits that matter when two runs are compared: 2.4132, 0.01234, 1.2E-5, 12,300. */
export function measured(value: number | null | undefined, locale: string): string {
  if (value === null || value === undefined || Number.isNaN(value)) return MISSING;
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7))
    return formatted(value, locale, { notation: 'scientific', maximumFractionDigits: 2 });
  const decimals = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 0.1 || size === 0 ? 4 : 5;
  return formatted(value, locale, { minimumFractionDigits: Math.min(decimals, 4), maximumFractionDigits: decimals });
}

/** Mean and spread over seeds, `2.4130 ± 0.0204`; a single seed is written alone. */
export const spread = ({ mean, std, n }: { mean: number; std: number; n: number }, locale: string): string =>
  n > 1 ? `${measured(mean, locale)} ± ${measured(std, locale)}` : measured(mean, locale);

const SCALES = ['', 'k', 'M', 'G', 'T', 'P'];
/** A tick of a count or a value, as short as it can be: 0.5, 12, 1.2 k, 3 M, 1E-5. */
export function tick(value: number, locale: string): string {
  if (!Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e18))
    return formatted(value, locale, { notation: 'scientific', maximumSignificantDigits: 2 });
  let scale = 0;
  let shown = value;
  while (Math.abs(shown) >= 1000 && scale < SCALES.length - 1) {
    shown /= 1000;
    scale += 1;
  }
  const text = formatted(shown, locale, { maximumSignificantDigits: 4 });
  return SCALES[scale] ? `${text}${THIN}${SCALES[scale]}` : text;
}

/** Seconds as a clock: 0:07, 3:24, 1:02:09. */
export function clock(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return MISSING;
  const all = Math.round(Math.max(0, seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60)];
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}
