// Scans of short sequences as products with their whole matrix, against the plain recurrence, in one direction and in both.
import { describe, expect, it } from 'vitest';
import { sizeOf } from '../core/kernel';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { convScan, convScanGrad, wholeIsLess, wholeQuasiseparable, wholeQuasiseparableGrad } from './kernel';
import { plain } from './plain';

// Chained float32 products over up to 256 tokens and as many channels.
const tolerance = 5e-6;
const steps = (size: number, seed: number, speed: number) =>
  draw(size, seed).map((u) => Math.fround(speed * (0.255 + 0.245 * u)));

type Size = readonly [b: number, T: number, H: number, P: number, G: number, N: number];
function one([b, T, H, P, G, N]: Size, speed = 1, taps = 4) {
  return {
    forward: convScan,
    gradient: convScanGrad,
    plain,
    attrs: { groups: G, state: N },
    shapes: {
      mixed: [b, T, H * P + 2 * G * N],
      taps: [taps, H * P + 2 * G * N],
      bias: [H * P + 2 * G * N],
      dt: [b, T, H],
      A: [H],
      D: [H],
    },
    inputs: { dt: steps(b * T * H, 8, speed), A: draw(H, 9).map((u) => Math.fround(-1.025 + 0.975 * u)) },
  };
}
function two([b, T, H, P, G, N]: Size, speed = 1) {
  const dt = [b, T, H];
  return {
    forward: wholeQuasiseparable,
    gradient: wholeQuasiseparableGrad,
    plain,
    attrs: { groups: G, state: N },
    shapes: { mixed: [b, T, H * P + 4 * G * N], ahead: dt, back: dt, A: [H], D: [H], w_D: [H * P, H] },
    inputs: {
      ahead: steps(b * T * H, 8, speed),
      back: steps(b * T * H, 7, speed),
      A: draw(H, 9).map((u) => Math.fround(-1.025 + 0.975 * u)),
      w_D: draw(H * P * H, 6).map((u) => Math.fround(u / Math.sqrt(H * P))), // own weights of about 1 on any number of channels
    },
  };
}
// One token leaves A no path; sums of a few numbers may cancel to little.
const floored = (T: number) => (T === 1 ? 1 : 0.1);

describe.each(natives({ emulated: true }))('whole scans on $isa', (native) => {
  it.each([1, 2, 15, 17, 63, 64, 65, 66, 130, 256])('agree with the plain recurrence for %i tokens', (T) => {
    for (const make of [one, two])
      for (const [b, H, P, G, N] of [
        [2, 4, 5, 2, 3],
        [1, 3, 4, 1, 7],
        [1, 1, 1, 1, 1],
        [3, 6, 17, 3, 18],
      ] as const)
        expectAgreement(native, { ...make([b, T, H, P, G, N]), floor: floored(T) }, tolerance);
  });

  it('agree where heads of a group are shared out, and over more rows than are worked on together', () => {
    for (const make of [one, two])
      for (const size of [
        [4, 130, 5, 3, 1, 4],
        [1, 40, 20, 3, 1, 4],
        [40, 66, 1, 3, 1, 2],
        [19, 5, 6, 2, 3, 2],
      ] as const)
        expectAgreement(native, make(size), tolerance);
  });

  it.each([1, 2, 3, 5, 16])('convolve by %i taps, more or fewer than there are tokens', (taps) => {
    for (const T of [3, 70]) {
      expectAgreement(native, one([2, T, 3, 33, 1, 5], 1, taps), tolerance);
      const { bias: _, ...shapes } = one([2, T, 3, 4, 3, 33], 1, taps).shapes;
      expectAgreement(native, { ...one([2, T, 3, 4, 3, 33], 1, taps), shapes }, tolerance);
    }
  });

  it('keep their digits under strong decay, and under none', () => {
    for (const make of [one, two])
      for (const speed of [40, 1e-3]) expectAgreement(native, make([1, 200, 2, 8, 1, 8], speed), tolerance);
  });

  it('survive dt of 0 and a decay to nothing', () => {
    for (const make of [one, two]) {
      const check = make([1, 150, 2, 4, 1, 4]);
      const holes = (u: number, i: number) => (i % 5 === 0 ? 0 : i % 7 === 0 ? 1e4 : u);
      const inputs = Object.fromEntries(
        Object.entries(check.inputs).map(([name, u]) => [name, /^(dt|ahead|back)$/.test(name) ? u.map(holes) : u]),
      );
      expectAgreement(native, { ...check, inputs }, tolerance);
    }
  });

  it('give the same bits on one thread and on two', () => {
    for (const b of [1, 5])
      for (const { forward, gradient, shapes, inputs, attrs } of [
        one([b, 200, 4, 8, 1, 8]),
        two([b, 200, 4, 8, 1, 8]),
      ]) {
        const given = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, draw(sizeOf(shape), 1)]));
        const results = [1, 2].map((threads) => {
          native.threads(threads);
          const kept = native.run(forward, { ...given, ...inputs }, shapes, attrs);
          return { ...kept, ...native.run(gradient, { ...given, ...inputs, ...kept, dy: kept.y }, shapes, attrs) };
        });
        expect(results[1]).toEqual(results[0]);
      }
  });

  it('round the inputs of their products under bfloat16, and nothing else', () => {
    native.bfloat16(true);
    try {
      // 8 bits of each input: errors of 2⁻⁹ that the sums partly even out. Without any rounding they would be below 1e-5.
      for (const make of [one, two]) {
        const errors = expectAgreement(native, make([2, 130, 4, 17, 2, 19]), 2e-2);
        expect(errors.y).toBeGreaterThan(1e-4);
      }
    } finally {
      native.bfloat16(false);
    }
  });

  it('do nothing for an empty batch', () => {
    for (const make of [one, two]) expectAgreement(native, make([0, 3, 2, 2, 1, 2]), tolerance);
  });
});

describe('plain whole scans', () => {
  it('have the slopes that they claim', () => {
    expectSlopes(one([2, 4, 4, 3, 2, 2]));
    expectSlopes(two([2, 5, 4, 3, 2, 2]));
  });

  it('refuse what is longer than they can', () => {
    const { shapes, attrs } = one([1, 257, 2, 2, 1, 2]);
    expect(convScan.refuses?.(shapes, attrs)).toMatch(/257 tokens are more than the 256/);
    expect(convScan.refuses?.(shapes, { groups: 3, state: 2 })).toMatch(/must hold 2 equal heads/);
  });

  it('are asked for where they are less work than chunks with states', () => {
    const sizes = { P: 64, N: 128, perGroup: 8 };
    expect([1, 64, 128, 256, 257].map((T) => wholeIsLess({ ...sizes, T }))).toEqual([true, true, true, true, false]);
    expect(wholeIsLess({ ...sizes, N: 16, T: 256 })).toBe(false);
  });
});
