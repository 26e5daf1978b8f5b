// Which buffers of a recorded step may hold bfloat16.
import { describe, expect, it } from 'vitest';
import { findHalves, markHalves } from './halves';
import type { Place } from './recording';

const made = (index: number): Place => ({ kind: 'made', index, bytes: 64, first: 0, last: 9, gone: true });
/** A call of kernel 7 with one integer and no float. */
const call = (inputs: number[], outputs: number[]) => [
  7,
  0,
  inputs.length,
  outputs.length,
  1,
  0,
  ...inputs,
  ...outputs,
  42,
];
const halvesOf = (calls: { inputs: number[]; outputs: number[]; able: number }[], places: Place[]) => {
  const code = calls.flatMap(({ inputs, outputs }) => call(inputs, outputs));
  const halves = findHalves(
    code,
    places,
    calls.map(({ able }) => able),
  );
  return { halves, marked: [...markHalves(code, halves)] };
};

describe('findHalves', () => {
  const places = [made(0), made(1)];
  const kept: Place = { kind: 'kept', index: 0, array: new Float32Array(16), dataId: {}, written: false };

  it('takes a buffer that every call may hold so, and tells each call', () => {
    const { halves, marked } = halvesOf(
      [
        { inputs: [-1, 1], outputs: [0], able: 0b100 },
        { inputs: [0, -1], outputs: [1], able: 0b001 },
        { inputs: [1, 0], outputs: [-1], able: 0b010 },
      ],
      places,
    );
    expect(halves).toEqual([true, false]);
    expect(marked).toEqual([
      ...[7, 0b100, 2, 1, 1, 0, -1, 1, 0, 42],
      ...[7, 0b001, 2, 1, 1, 0, 0, -1, 1, 42],
      ...[7, 0b010, 2, 1, 1, 0, 1, 0, -1, 42],
    ]);
  });

  it('leaves one that a single call wants in 32 bits, be it reader or writer', () => {
    const write = { inputs: [], outputs: [0], able: 1 };
    const read = { inputs: [0], outputs: [1], able: 1 };
    expect(halvesOf([write, read, read], places).halves).toEqual([true, false]);
    expect(halvesOf([write, read, { ...read, able: 0 }], places).halves).toEqual([false, false]);
    expect(halvesOf([{ ...write, able: 0 }, read], places).halves).toEqual([false, false]);
    expect(halvesOf([write, read, { ...write, able: 0 }], places).halves).toEqual([false, false]);
  });

  it('leaves what the step does not make, what is read before it is written, and what one call reads and writes', () => {
    const read = { inputs: [0], outputs: [1], able: 0b11 };
    expect(halvesOf([{ inputs: [], outputs: [0], able: 1 }, read], [kept, made(1)]).halves).toEqual([false, true]);
    expect(halvesOf([read], places).halves).toEqual([false, true]);
    expect(
      halvesOf(
        [
          { inputs: [], outputs: [0], able: 1 },
          { inputs: [0], outputs: [0], able: 0b11 },
        ],
        places,
      ).halves,
    ).toEqual([false, true]);
  });

  it('reads no further than the bits go', () => {
    const inputs = Array.from({ length: 40 }, () => 0);
    const write = { inputs: [], outputs: [0], able: 1 };
    expect(halvesOf([write, { inputs, outputs: [1], able: 2 ** 30 - 1 }], places).halves).toEqual([false, false]);
  });
});
