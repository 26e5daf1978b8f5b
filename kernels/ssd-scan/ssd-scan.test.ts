// The state-space-dual scan: native chunks against the plain recurrence, forward and gradient.
import { describe, expect, it } from 'vitest';
import { draw, expectAgreement, expectSlopes, natives } from '../core/testing';
import { ssdScan, ssdScanGrad } from './kernel';
import { plain } from './plain';

// Chained products over 64 tokens, 20 channels and the states between chunks, in float32.
const tolerance = 5e-6;
const kernel = { forward: ssdScan, gradient: ssdScanGrad, plain };

/** dt in (0.01, 0.5) times `speed`, A in (-2, -0.05): a mix of heads that remember long and short. */
function setting(b: number, T: number, H: number, P: number, G: number, N: number, speed = 1) {
  return {
    ...kernel,
    shapes: { x: [b, T, H, P], dt: [b, T, H], A: [H], B: [b, T, G, N], C: [b, T, G, N] },
    inputs: {
      dt: draw(b * T * H, 8).map((u) => Math.fround(speed * (0.255 + 0.245 * u))),
      A: draw(H, 9).map((u) => Math.fround(-1.025 + 0.975 * u)),
    },
  };
}
const full = (check: ReturnType<typeof setting>) => {
  const [b, , H, P] = check.shapes.x;
  const N = check.shapes.B[3];
  return { ...check, shapes: { ...check.shapes, D: [H], initialState: [b, H, P, N] } };
};

describe.each(natives())('SsdScan on $isa', (native) => {
  it.each([1, 2, 63, 64, 65, 130])('agrees with the plain recurrence for %i tokens', (T) => {
    // One token leaves A no path but through the initial state, so without one its gradient is 0.
    expectAgreement(native, full(setting(2, T, 4, 5, 2, 3)), tolerance);
    expectAgreement(native, { ...setting(1, T, 3, 4, 1, 7), floor: T === 1 ? 1 : undefined }, tolerance);
  });

  it.each([
    [1, 1, 1, 1],
    [2, 1, 1, 3],
    [6, 20, 3, 17],
    [32, 8, 1, 16],
    [2, 64, 2, 64],
    [1, 33, 1, 70],
  ])('agrees for %i heads of width %i, %i groups of state %i', (H, P, G, N) => {
    expectAgreement(native, full(setting(1, 70, H, P, G, N)), tolerance);
  });

  it('keeps its digits under strong decay, and under none', () => {
    expectAgreement(native, full(setting(1, 130, 2, 8, 1, 8, 40)), tolerance);
    expectAgreement(native, full(setting(1, 130, 2, 8, 1, 8, 1e-3)), tolerance);
  });

  it('gives zero gradients of A and D for an empty batch', () => {
    expectAgreement(native, full(setting(0, 3, 2, 2, 1, 2)), tolerance);
  });

  it('survives dt of 0 and a decay to nothing', () => {
    const check = full(setting(1, 66, 2, 4, 1, 4));
    const dt = check.inputs.dt.map((u, i) => (i % 5 === 0 ? 0 : i % 7 === 0 ? 1e4 : u));
    expectAgreement(native, { ...check, inputs: { ...check.inputs, dt } }, tolerance);
  });

  it('gives the same bits on one thread and on two', () => {
    const { shapes, inputs } = setting(1, 130, 4, 8, 1, 8);
    const given = { ...inputs, x: draw(4160, 1), B: draw(1040, 2), C: draw(1040, 3) };
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const { y, finalState, chunkStates } = native.run(ssdScan, given, shapes, {});
      const feed = { ...given, chunkStates, dy: y, dfinalState: finalState };
      return { y, ...native.run(ssdScanGrad, feed, shapes, {}) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain SsdScan', () => {
  it('has the slopes that it claims', () => {
    expectSlopes(full(setting(2, 4, 4, 3, 2, 2)));
    expectSlopes(setting(1, 66, 2, 1, 1, 2));
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes } = setting(1, 4, 3, 2, 1, 2);
    expect(ssdScan.refuses?.({ ...shapes, B: [1, 4, 2, 2], C: [1, 4, 2, 2] }, {})).toMatch(
      /2 groups do not divide 3 heads/,
    );
    expect(ssdScan.refuses?.({ ...shapes, dt: [1, 4, 2] }, {})).toMatch(/dt \[1,4,2\] must be/);
  });
});
