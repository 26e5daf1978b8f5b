// Dropout: the published numbers of Philox, native against plain loops bit for bit, and masks that depend on nothing but their keys.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { dropout, dropoutGrad } from './kernel';
import { philox } from './philox';
import { kept, plain } from './plain';

const check = { forward: dropout, gradient: dropoutGrad, plain };
const attrs = { rate: 0.3, seed: 7, site: 2 };
const counter = (step: number, row: number) => Float64Array.of(step, row);

describe('Philox4x32-10', () => {
  it.each([
    // kat_vectors of Random123, the authors' library.
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [Array(4).fill(0xffffffff), Array(2).fill(0xffffffff), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('gives the published words for %j', (given, key, words) => {
    expect(philox(given, key)).toEqual(words);
  });
});

describe.each(natives())('Dropout on $isa', (native) => {
  it('agrees with the plain loops at odd lengths, any first row, and more than one part of the loop', () => {
    for (const [B, width, row] of [
      [1, 1, 0],
      [3, 1, 5],
      [2, 63, 1],
      [5, 65, 3],
      [2, 20_001, 2],
      [0, 4, 0],
    ]) {
      const shapes = { x: [B, width], counter: [2] };
      // One rounded product with a rounded factor.
      expectAgreement(native, { ...check, shapes, inputs: { counter: counter(9, row) }, attrs }, 2e-7);
    }
    // Places beyond 2^32.
    const far = { x: [1, 3, 50_001], counter: [2] };
    expectAgreement(native, { ...check, shapes: far, inputs: { counter: counter(1, 40_000) }, attrs }, 2e-7);
  });

  it('gives the same bits for any number of threads, and lets what is dropped be anything', () => {
    const shapes = { x: [4, 10_001], counter: [2] };
    const x = draw(40_004, 3);
    const run = (threads: number) => {
      native.threads(threads);
      return native.run(dropout, { x, counter: counter(3, 0) }, shapes, attrs).y;
    };
    expect(run(2)).toEqual(run(1));
    native.threads(1);
    const lost = native.run(dropout, { x: x.fill(Number.NaN), counter: counter(3, 0) }, shapes, attrs).y;
    const stays = kept(shapes.x, attrs, 3, 0);
    expect([...lost].every((value, i) => (stays[i] ? Number.isNaN(value) : value === 0))).toBe(true);
  });
});

describe('the mask', () => {
  const at = (more: Partial<typeof attrs>, step = 1, row = 0, shape = [4, 2500]) =>
    kept(shape, { ...attrs, ...more }, step, row);
  const same = (a: boolean[], b: boolean[]) => a.filter((stays, i) => stays === b[i]).length / a.length;

  it('drops the share that it is asked to, and each key draws another one', () => {
    // 10,000 draws: five standard deviations of a share of 0.3 are 0.023.
    expect(Math.abs(at({}).filter((stays) => !stays).length / 10_000 - 0.3)).toBeLessThan(0.023);
    expect(at({ rate: 0 }).every(Boolean)).toBe(true);
    expect(at({})).toEqual(at({}));
    // Independent masks agree in 0.7² + 0.3² = 0.58 of the places.
    for (const other of [at({ seed: 8 }), at({ site: 3 }), at({}, 2), at({}, 1, 4)])
      expect(Math.abs(same(at({}), other) - 0.58)).toBeLessThan(0.025);
  });

  it('of a batch in parts is that of the whole', () => {
    const whole = at({}, 6, 0, [6, 35]);
    const parts = [0, 2, 4].flatMap((row) => at({}, 6, row, [2, 35]));
    expect(parts).toEqual(whole);
  });

  it('is its own gradient', () => {
    expectSlopes({ ...check, shapes: { x: [3, 7], counter: [2] }, inputs: { counter: counter(2, 1) }, attrs });
    expect(dropout.refuses?.({ x: [2], counter: [2] }, { ...attrs, rate: 1 })).toMatch(/rate 1 does not fit/);
    expect(dropout.refuses?.({ x: [2], counter: [3] }, attrs)).toMatch(/\[2\], not \[3\]/);
  });
});
