// The shaders of one token of a linear recurrence against the plain loops: odd sizes, width one, several heads a group, none at all.
import { beforeAll, describe, it, vi } from 'vitest';
import { draw } from '../../../kernels/core/testing';
import { outerStep, ssdStep } from '../../../kernels/state-step/kernel';
import { plain } from '../../../kernels/state-step/plain';
import { agree, openForTests, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Sums of at most 130 products in float32. */
const tolerance = 3e-6;

const outer = ([B, G, H, d, e]: number[], keep?: number) => ({
  forward: outerStep,
  plain,
  shapes: {
    ...{ s: [B, G, d, e], q: [B, H, d], k: [B, G, d], v: [B, G, e] },
    ...(keep !== undefined && { keep: [B, G, keep] }),
  },
});
const space = ([b, G, H, P, N]: number[], D: boolean) => ({
  forward: ssdStep,
  plain,
  shapes: {
    ...{ s: [b, H, P, N], x: [b, H, P], dt: [b, H], A: [H], B: [b, G, N], C: [b, G, N] },
    ...(D && { D: [H] }),
  },
  inputs: { dt: draw(b * H, 5).map(Math.abs), A: draw(H, 6).map((u) => -Math.abs(u)) },
});

describe.runIf(testable)('one token of a state', () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each([
    [1, 1],
    [3, 7],
    [65, 33],
    [17, 130],
  ])('agrees with the plain loops for keys and values of %i and %i', async (d, e) => {
    await agree(outer([1, 2, 2, d, e]), tolerance);
    await agree(outer([2, 1, 1, d, e], 1), tolerance);
    await agree(outer([1, 2, 6, d, e], d), tolerance);
    await agree(space([1, 1, 2, d, e], true), tolerance);
    await agree(space([2, 2, 4, d, e], false), tolerance);
  });

  it('does nothing for an empty batch', async () => {
    await agree(outer([0, 1, 1, 4, 4]), tolerance);
    await agree(space([0, 1, 1, 4, 4], true), tolerance);
  });
});
