// Turning heads: native against plain loops, at widths around the vector's, whole heads and their last channels.
import { describe, expect, it } from 'vitest';
import { expectAgreement, natives } from '../core/testing';
import { rotate } from './kernel';
import { plain } from './plain';

// Two products and a sum in float32.
const tolerance = 4e-7;

describe.each(natives())('Rotate on $isa', (native) => {
  it.each([
    [1, 1, 1, 2, 1],
    [2, 3, 2, 7, 2],
    [1, 1, 4, 64, 32],
    [1, 2, 3, 40, 17],
    [2, 1, 5, 96, 16],
    [0, 1, 2, 8, 4],
  ])('agrees for a batch of %i, %i tokens, %i heads of %i channels, %i pairs', (B, T, H, d, half) => {
    const shapes = { u: [B, T, H, d], cos: [T, half], sin: [T, half] };
    expectAgreement(native, { forward: rotate, plain, shapes }, tolerance);
  });
});

it('refuses tables that do not fit, in a sentence', () => {
  const why = (cos: number[]) => rotate.refuses?.({ u: [1, 2, 3, 8], cos, sin: cos }, {});
  expect(why([2, 4])).toBeUndefined();
  expect(why([2, 5])).toMatch(/up to 4 numbers for each of 2 tokens/);
  expect(why([1, 4])).toMatch(/each of 2 tokens/);
});
