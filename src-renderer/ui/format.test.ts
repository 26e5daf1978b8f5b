// Numbers read the same way everywhere, in both languages.
import { describe, expect, it } from 'vitest';
import { en } from '../messages/en';
import { ru } from '../messages/ru';
import { bytes, compact, duration, flops, moment, significant, type UnitWord } from './format';

const english: UnitWord = (unit) => en.shell.units[unit as keyof typeof en.shell.units];
const russian: UnitWord = (unit) => ru.shell.units[unit as keyof typeof ru.shell.units];
/** No-break spaces as plain ones. */
const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, ' ');

describe('numbers', () => {
  it('shows counts, bytes and operations in three digits', () => {
    const shown = (value: number) => plain(compact(value, 'en', english));
    expect([0, 7, 999, 1000, 34_120, 1_234_567, 2e9].map(shown)).toEqual([
      '0',
      '7',
      '999',
      '1 k',
      '34.1 k',
      '1.23 M',
      '2 G',
    ]);
    expect(plain(bytes(34_000, 'en', english))).toBe('34 kB');
    expect(plain(flops(12.3e9, 'en', english))).toBe('12.3 GFLOP');
  });

  it('never shows a thousand of a unit', () => {
    expect(plain(compact(999_499, 'en', english))).toBe('999 k');
    expect(plain(compact(999_500, 'en', english))).toBe('1 M');
    expect(plain(bytes(999_960_000, 'en', english))).toBe('1 GB');
  });

  it('speaks Russian', () => {
    expect(plain(compact(1_234_567, 'ru', russian))).toBe('1,23 млн');
    expect(plain(bytes(34_000, 'ru', russian))).toBe('34 кБ');
    expect(plain(flops(12.3e9, 'ru', russian))).toBe('12,3 ГФЛОП');
    expect(plain(duration(184, 'ru', russian))).toBe('3 мин 4 с');
  });

  it('shows a time in the two units that matter', () => {
    const shown = (seconds: number) => plain(duration(seconds, 'en', english));
    expect([0, 0.45, 3.21, 45, 59.7, 60, 184, 3599.8, 7500, 90_000].map(shown)).toEqual([
      '0 ms',
      '450 ms',
      '3.2 s',
      '45 s',
      '1 min',
      '1 min',
      '3 min 4 s',
      '1 h',
      '2 h 5 min',
      '1 d 1 h',
    ]);
  });

  it('shows what is no number as a dash', () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(significant(wrong, 'en')).toBe('–');
      expect(compact(wrong, 'en', english)).toBe('–');
      expect(duration(wrong, 'en', english)).toBe('–');
    }
  });

  it('shows a moment that no calendar has as a dash', () => {
    const day = new Intl.DateTimeFormat('en', { year: 'numeric', timeZone: 'UTC' });
    expect([0, 1e300, Number.NaN, Number.POSITIVE_INFINITY].map((ms) => moment(ms, day))).toEqual([
      '1970',
      '–',
      '–',
      '–',
    ]);
  });
});
