// Where arrays of the pool lie: on whole cache lines, and those that live long side by side on large pages.
import { beforeAll, describe, expect, it } from 'vitest';
import { type Addon, loadAddon } from './addon';
import { Pool } from './pool';

let addon: Addon;
let pool: Pool;
beforeAll(() => {
  const found = loadAddon();
  if ('absent' in found) throw new Error(found.absent);
  addon = found.addon;
  pool = new Pool(addon.home);
});

/** Bytes from an array's beginning to the next multiple of `align`. */
const startsIn = (array: Float32Array | Int32Array, align: number): number =>
  addon.home(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), align);
const counted = (length: number, from: number): Float32Array => Float32Array.from({ length }, (_, i) => from + i);

describe('arrays of the pool', () => {
  it('begin with a cache line', () => {
    for (const length of [64, 65, 1000, 70_001, 600_000])
      for (const array of [pool.takeFloats(length), pool.takeInts(length)]) {
        expect(array.length).toBe(length);
        expect(startsIn(array, 64)).toBe(0);
      }
  });

  it('may be empty or of one number', () => {
    for (const length of [0, 1, 3]) expect(pool.takeFloats(length).length).toBe(length);
  });

  it('come back from the pool', () => {
    const array = pool.takeFloats(777);
    pool.give(array);
    expect(pool.takeFloats(777)).toBe(array);
  });
});

describe('arrays that live long', () => {
  it('lie together in whole cache lines with the numbers they had', () => {
    const arrays = [counted(5, 0), counted(0, 0), Int32Array.of(7, -8), counted(1000, 9), counted(17, -3)];
    const together = pool.together(arrays);
    expect(together.map((array) => array.constructor)).toEqual(arrays.map((array) => array.constructor));
    for (const [i, array] of together.entries()) {
      expect(array).toEqual(arrays[i]);
      expect(array.buffer).toBe(together[0].buffer);
      expect(startsIn(array, 64)).toBe(0);
      expect(pool.owns(array)).toBe(true);
    }
    for (const [i, one] of together.entries())
      for (const other of together.slice(i + 1)) expect(one.byteOffset + one.byteLength <= other.byteOffset).toBe(true);
  });

  it('begin with a large page where they are many', () => {
    const [first, second] = pool.together([counted(300_000, 1), counted(200_000, 2)]);
    expect(startsIn(first, 2 ** 21)).toBe(0);
    expect(second[199_999]).toBe(200_001);
  });

  it('are not handed out again', () => {
    const [array] = pool.together([counted(4321, 0)]);
    const { freeBytes } = pool;
    pool.give(array);
    expect(pool.freeBytes).toBe(freeBytes);
    expect(pool.takeFloats(4321).buffer).not.toBe(array.buffer);
  });
});
