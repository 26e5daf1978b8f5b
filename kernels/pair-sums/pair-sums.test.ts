// Sums between all pairs of tokens: the native loops against the plain ones.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { reciprocalSums, waveSums } from './kernel';
import { reciprocals, waves } from './testing';

// 3e-6: phases of half a turn are rounded at 3e-8, and steps of up to T times that are summed in the gradient.
const tolerance = 3e-6;
const sizes = [
  [1, 1, 1],
  [3, 2, 1],
  [2, 63, 3],
  [2, 64, 5],
  [1, 65, 16],
  [1, 130, 2],
];

describe.each(natives())('pair sums on $isa', (native) => {
  it.each(sizes)('agree with the plain loops: %i matrices, %i tokens, %i channels', (...size) => {
    // One token knows no distance: its slope is 0.
    for (const turns of [1e-3, 1, 100]) expectAgreement(native, { ...waves(size, turns), floor: 1e-3 }, tolerance);
    expectAgreement(native, reciprocals(size), tolerance);
  });

  it('drop whole turns exactly, however many', () => {
    const check = waves([1, 40, 3], 1);
    const far = { turns: check.inputs.turns.map((u) => Math.round(128 * u) / 128 + 65536) };
    expectAgreement(native, { ...check, inputs: far }, tolerance);
  });

  it('divide by what there is alone: rows of zeros', () => {
    const check = reciprocals([1, 7, 2]);
    expectAgreement(native, { ...check, inputs: { ...check.inputs, rows: new Float64Array(14) } }, tolerance);
  });

  it('give the same bits on one thread and on two', () => {
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      return [waves([5, 33, 3]), reciprocals([5, 33, 3])].flatMap(({ forward, gradient, inputs, shapes }) => [
        native.run(forward, inputs, shapes, {}),
        native.run(gradient, { ...inputs, dsums: draw(5 * 33 * 33, 1) }, shapes, {}),
      ]);
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain pair sums', () => {
  it('have the slopes that they claim', () => {
    expectSlopes(waves([2, 5, 3]));
    expectSlopes(reciprocals([2, 5, 3]));
  });

  it('refuse shapes that do not fit, in a sentence', () => {
    expect(waveSums.refuses?.({ turns: [3, 4] }, {})).toMatch('turns must be [n, tokens, channels], not [3,4]');
    expect(reciprocalSums.refuses?.({ rows: [1, 3, 2], columns: [1, 4, 2] }, {})).toMatch('columns [1,4,2] must have');
  });
});
