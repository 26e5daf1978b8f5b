// Scans over packed values and maps: native chunks against the plain recurrence, in one direction and in both.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { packedScan, packedScanGrad, quasiseparable, quasiseparableGrad } from './kernel';
import { plain } from './plain';

// As the scan by itself: chained float32 products over 64 tokens.
const tolerance = 5e-6;
const steps = (size: number, seed: number) => draw(size, seed).map((u) => Math.fround(0.255 + 0.245 * u));

function one(b: number, T: number, H: number, P: number, G: number, N: number) {
  return {
    forward: packedScan,
    gradient: packedScanGrad,
    plain,
    attrs: { groups: G, state: N },
    shapes: { mixed: [b, T, H * P + 2 * G * N], dt: [b, T, H], A: [H], D: [H] },
    inputs: { dt: steps(b * T * H, 8), A: draw(H, 9).map((u) => Math.fround(-1.025 + 0.975 * u)) },
  };
}
function two(b: number, T: number, H: number, P: number, G: number, N: number) {
  const dt = [b, T, H];
  return {
    forward: quasiseparable,
    gradient: quasiseparableGrad,
    plain,
    attrs: { groups: G, state: N },
    shapes: { mixed: [b, T, H * P + 4 * G * N], ahead: dt, back: dt, A: [H], D: [H], w_D: [H * P, H] },
    inputs: {
      ahead: steps(b * T * H, 8),
      back: steps(b * T * H, 7),
      A: draw(H, 9).map((u) => Math.fround(-1.025 + 0.975 * u)),
      w_D: draw(H * P * H, 6).map((u) => Math.fround(u / Math.sqrt(H * P))), // own weights of about 1 on any number of channels
    },
  };
}
const floored = (T: number) => (T === 1 ? 1 : undefined); // one token leaves A no path

describe.each(natives({ emulated: true }))('packed scans on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agree with the plain recurrence for %i tokens', (T) => {
    for (const make of [one, two])
      for (const [b, H, P, G, N] of [
        [2, 4, 5, 2, 3],
        [1, 3, 4, 1, 7],
        [1, 1, 1, 1, 1],
        [6, 6, 17, 3, 4],
      ])
        expectAgreement(native, { ...make(b, T, H, P, G, N), floor: floored(T) }, tolerance);
  });

  it('agree where heads of a group are shared out, and over more chunks than run at a time', () => {
    for (const make of [one, two])
      for (const [b, T, H, P, G, N] of [
        [4, 130, 5, 3, 1, 4], // four slices of a group
        [5, 130, 2, 3, 1, 4], // two, as many as it has heads
        [1, 40, 9, 3, 1, 4], // a single chunk
        [1, 64 * 18 + 3, 3, 2, 1, 3],
        [3, 64 * 7, 2, 2, 1, 3],
      ])
        expectAgreement(native, make(b, T, H, P, G, N), tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    for (const b of [1, 5]) {
      const { shapes, inputs, attrs } = two(b, 200, 4, 8, 1, 8);
      const given = { ...inputs, mixed: draw(b * 12800, 1), D: draw(4, 2) };
      const results = [1, 2].map((threads) => {
        native.threads(threads);
        const { y, ...kept } = native.run(quasiseparable, given, shapes, attrs);
        return { y, ...native.run(quasiseparableGrad, { ...given, ...kept, dy: y }, shapes, attrs) };
      });
      expect(results[1]).toEqual(results[0]);
    }
  });

  it('round the inputs of their products under bfloat16, and nothing else', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input: errors of 2⁻⁹ that the sums of a chunk partly even out. Without any rounding they would be below 1e-5.
      for (const make of [one, two]) {
        const errors = expectAgreement(native, make(2, 130, 4, 17, 2, 19), 2e-2);
        expect(errors.y).toBeGreaterThan(1e-4);
      }
    } finally {
      native.bfloat16(false);
    }
  });

  it('do nothing for an empty batch', () => {
    for (const make of [one, two]) expectAgreement(native, make(0, 3, 2, 2, 1, 2), tolerance);
  });
});

describe('plain packed scans', () => {
  it('have the slopes that they claim', () => {
    expectSlopes(one(2, 4, 4, 3, 2, 2));
    expectSlopes(two(2, 5, 4, 3, 2, 2));
  });

  it('refuse shapes that do not fit, in a sentence', () => {
    const { shapes, attrs } = two(1, 4, 3, 2, 1, 2);
    expect(quasiseparable.refuses?.({ ...shapes, mixed: [1, 4, 13] }, attrs)).toMatch(/must hold 3 equal heads/);
    expect(quasiseparable.refuses?.({ ...shapes, back: [1, 4, 2] }, attrs)).toMatch(/back \[1,4,2\] must have the/);
    expect(quasiseparable.refuses?.({ ...shapes, w_D: [3, 6] }, attrs)).toMatch(/w_D \[3,6\] must be \[6, 3\]/);
    expect(packedScan.refuses?.(one(1, 4, 4, 2, 3, 2).shapes, { groups: 3, state: 2 })).toMatch(
      /3 groups do not divide/,
    );
  });
});
