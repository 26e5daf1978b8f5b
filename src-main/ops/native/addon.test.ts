// Tiles (AMX) where a trial of the unit passes, and a sentence where it doesn't.
import { describe, expect, it } from 'vitest';
import { type Addon, onTiles, type TileUnit } from './addon';

/** An addon of AVX-512-BF16 whose trial gives `found`. */
function addon(found: TileUnit) {
  const used: (string | undefined)[] = [];
  const tiles = (use?: string) => {
    used.push(use);
    return found;
  };
  return { addon: { isa: 'avx512bf16', tiles } as unknown as Addon, used };
}

describe('products on tiles', () => {
  it('are taken where the unit gives what plain loops give', () => {
    const { addon: given, used } = addon('ready');
    expect(onTiles(given, 'v', false)).toEqual({ addon: { ...given, isa: 'amx' }, version: 'v' });
    expect(used).toEqual(['unit']);
  });
  for (const [found, why] of [
    ['wrong', /its sums differ from those of plain loops/],
    ['refused', /the system does not lend it/],
    ['unknown', /the compiler .* does not know it/],
  ] as const) {
    it(`are left where it is ${found}, with a note`, () => {
      const { addon: given } = addon(found);
      expect(onTiles(given, 'v', false)).toEqual({ addon: given, version: 'v', note: expect.stringMatching(why) });
    });
    it(`are refused where it is ${found} and AMX was asked for by name`, () => {
      expect(onTiles(addon(found).addon, 'v', true)).toEqual({ absent: expect.stringMatching(why) });
    });
  }
});
