// Which outputs of a recorded step lie over an input of their call.
import { describe, expect, it } from 'vitest';
import { findOverlays, overOf, spansOf } from './overlay';
import type { Place } from './recording';

/** A call of kernel 7 with one integer and no float. */
const call = (inputs: number[], outputs: number[]) => [
  ...[7, 0, inputs.length, outputs.length, 1, 0],
  ...inputs,
  ...outputs,
  42,
];
const made = (index: number, first: number, last: number, bytes = 64): Place => ({ kind: 'made', index, bytes, first, last, gone: true }); // biome-ignore format: one line
const kept = (index: number): Place => ({ kind: 'kept', index, array: new Float32Array(16), dataId: {}, written: false }); // biome-ignore format: one line
const none = [false, false, false, false];
/** Each output over the first input, else over the second. */
const either = () => [
  [0, 1],
  [0, 1],
];

describe('findOverlays', () => {
  it('lays outputs over inputs that end there, one over each', () => {
    const code = [...call([], [0, 1]), ...call([0, 1], [2, 3])];
    const places = [made(0, 0, 1), made(1, 0, 1), made(2, 1, 5), made(3, 1, 3)];
    const below = findOverlays(code, places, none, either);
    expect(below).toEqual([0, 1, 0, 1]);
    const { spans, spanOf } = spansOf(places, none, below);
    expect(spans).toEqual([
      { bytes: 64, first: 0, last: 5 },
      { bytes: 64, first: 0, last: 3 },
    ]);
    expect([...spanOf.values()]).toEqual([0, 1, 0, 1]);
  });

  it('makes chains of them', () => {
    const code = [...call([], [0]), ...call([0], [1]), ...call([1], [2])];
    const places = [made(0, 0, 1), made(1, 1, 2), made(2, 2, 4)];
    const below = findOverlays(code, places, none, either);
    expect(below).toEqual([0, 0, 1]);
    expect(spansOf(places, none, below).spans).toEqual([{ bytes: 64, first: 0, last: 4 }]);
  });

  it('leaves inputs that are read again, are not of the step, or differ in size', () => {
    const code = [...call([], [0, 1]), ...call([0, 1], [2])];
    const over = (places: Place[], halves = none) => findOverlays(code, places, halves, either)[2];
    expect(over([made(0, 0, 2), made(1, 0, 1), made(2, 1, 3)])).toBe(1);
    expect(over([made(0, 0, 2), made(1, 0, 4), made(2, 1, 3)])).toBe(2);
    expect(over([kept(0), made(1, 0, 2), made(2, 1, 3)])).toBe(2);
    expect(over([made(0, 0, 1, 128), made(1, 0, 2), made(2, 1, 3)])).toBe(2);
    expect(over([made(0, 0, 1), made(1, 0, 2), made(2, 1, 3)], [false, false, true])).toBe(2);
  });

  it('leaves an input that the call reads twice, outputs that were there before, and kernels that say nothing', () => {
    const places = [made(0, 0, 1), made(1, 0, 1), made(2, 1, 3)];
    expect(findOverlays([...call([], [0, 1]), ...call([0, 0], [2])], places, none, either)[2]).toBe(2);
    expect(findOverlays([...call([], [0, 1]), ...call([0, 1], [2])], [places[0], places[1], made(2, 0, 3)], none, either)[2]).toBe(2); // biome-ignore format: one line
    expect(findOverlays([...call([], [0, 1]), ...call([0, 1], [2])], places, none, () => [])[2]).toBe(2);
  });
});

it('knows what kernels say by the numbers of their arguments', () => {
  expect(overOf('GatedActivationAgain')).toEqual([[0], [1], [2]]);
  expect(overOf('ActivationGrad')).toEqual([[1, 0]]);
  expect(overOf('MatMul')).toEqual([]);
});
