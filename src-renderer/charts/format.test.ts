// Numbers as they are written in both languages.
import { expect, it } from 'vitest';
import { clock, measured, spread, tick } from './format';

it('writes measured values with the digits that tell runs apart', () => {
  expect([2.41327, 0.012345, 123.456, 12300, 0, 1.23e-5].map((v) => measured(v, 'en'))).toEqual([
    '2.4133',
    '0.01235',
    '123.5',
    '12,300',
    '0.0000',
    '1.23E-5',
  ]);
  expect(measured(2.5, 'ru')).toBe('2,5000');
  expect([null, Number.NaN, Number.POSITIVE_INFINITY].map((v) => measured(v, 'en'))).toEqual(['–', '–', '∞']);
});
it('writes a spread only for more than one seed', () => {
  expect(spread({ mean: 2, std: 0.5, n: 3 }, 'en')).toBe('2.0000 ± 0.5000');
  expect(spread({ mean: 2, std: 0, n: 1 }, 'en')).toBe('2.0000');
});
it('keeps ticks short', () => {
  expect([0, 0.5, 250, 1200, 3e6, 2e-5].map((v) => tick(v, 'en'))).toEqual([
    '0',
    '0.5',
    '250',
    '1.2\u202fk',
    '3\u202fM',
    '2E-5',
  ]);
});
it('reads a clock', () => {
  expect([0, 7.4, 204, 3729, null].map(clock)).toEqual(['0:00', '0:07', '3:24', '1:02:09', '–']);
});
