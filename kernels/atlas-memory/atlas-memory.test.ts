// The memory of ATLAS: the native kernels against plain loops, forward, gradient and token by token.
import { describe, expect, it } from 'vitest';
import { type Arrays, type Attrs, type Shapes, sizeOf } from '../core/kernel';
import { draw, expectAgreement, expectSlopes, natives, uniform } from '../core/testing';
import { atlasMemory, atlasMemoryGrad, atlasMemoryStep, segmentStarts } from './kernel';
import { plain } from './plain';

interface Given {
  R?: number;
  H?: number;
  T: number;
  F?: number;
  /** 0: one matrix. */
  h?: number;
  d?: number;
  window?: number;
  chunk?: number;
  nsSteps?: number;
}

/** Keys and queries about as long as one, gates in (0, 1). */
function setting({ R = 2, H = 2, T, F = 4, h = 5, d = 3, window = 3, chunk = 4, nsSteps = 5 }: Given) {
  const gates = [R, T];
  const shapes: Shapes = {
    p: [R, T, F],
    k: [R, T, d],
    v: [R, T, d],
    gamma: gates,
    q: [R, T, d],
    pq: [R, T, F],
    alpha: gates,
    eta: gates,
    theta: gates,
    w1: [H, F, h || d],
    ...(h > 0 && { w2: [H, h, d] }),
  };
  const attrs: Attrs = { window, chunk, nsSteps };
  const gate = (seed: number, scale: number, from = 0) => {
    const next = uniform(seed);
    return Float64Array.from({ length: R * T }, () => Math.fround(from + scale * next()));
  };
  const scaled = (name: string, seed: number) => draw(sizeOf(shapes[name]), seed).map((u) => Math.fround(u));
  const inputs: Arrays = {
    gamma: gate(1, 1),
    alpha: gate(2, 0.3, 0.7),
    eta: gate(3, 0.3),
    theta: gate(4, 1),
    w1: scaled('w1', 5),
    ...(h > 0 && { w2: scaled('w2', 6) }),
  };
  return { forward: atlasMemory, gradient: atlasMemoryGrad, plain, shapes, attrs, inputs };
}

// Doubles inside: only the rounding of the outputs is left, and of what they were rounded from. Orthogonalisation strengthens nothing but 1e-16.
const tolerance = 1e-6;

describe.each(natives())('AtlasMemory on $isa', (native) => {
  it.each<Given>([
    { T: 1 },
    { T: 17 },
    { T: 33, chunk: 1, window: 1 },
    { T: 40, chunk: 20, window: 7 },
    { T: 35, chunk: 16, window: 1 },
    { T: 21, chunk: 5, window: 30, nsSteps: 2 },
    { T: 18, chunk: 100, nsSteps: 0 },
    { T: 19, h: 0, chunk: 1, window: 2 },
    { T: 19, h: 0, F: 9, d: 2, nsSteps: 1 },
    { T: 5, F: 1, h: 1, d: 1, window: 2 },
    { T: 9, F: 17, h: 9, d: 8, R: 3, H: 1 },
    { T: 6, F: 5, h: 34, d: 16, R: 4 },
    { T: 17, F: 48, h: 50, d: 33, R: 1, H: 1 },
  ])('agrees with the plain loop: %j', (given) => {
    expectAgreement(native, setting(given), tolerance);
  });

  it('keeps the rank of what it has seen: one pair, many steps of orthogonalisation', () => {
    // 3.4445^12 is 3e6: rounding to float32 anywhere on the way would be of the size of the result.
    expectAgreement(native, setting({ T: 6, F: 12, h: 16, d: 12, chunk: 1, window: 1, nsSteps: 12 }), 1e-5);
  });

  it.each<Given>([
    { T: 17 },
    { T: 33, chunk: 16, window: 4, F: 16, h: 32, d: 16 },
    { T: 18, chunk: 5, F: 17, h: 9, d: 8, R: 3, H: 1 },
    { T: 19, h: 0, chunk: 2, window: 2 },
    { T: 9, F: 12, h: 20, d: 12, nsSteps: 12 },
  ])('agrees under bfloat16, where orthogonalisation is float32: %j', (given) => {
    native.bfloat16(true);
    try {
      // 2^-24, strengthened 485 times by five steps, is 3e-5; gradients go through it again for each token. bfloat16 itself rounds to 4e-3.
      expectAgreement(native, setting(given), 1e-3);
    } finally {
      native.bfloat16(false);
    }
  });

  it('agrees after tokens before, from an anchor and at the start of a chunk', () => {
    for (const [position, T] of [
      [5, 1],
      [8, 3],
      [7, 5],
    ]) {
      const { shapes, attrs, inputs } = setting({ T: T + 2, H: 2 });
      const { w1, w2 } = shapes;
      const from = (name: string) => [shapes[name][0], T, ...shapes[name].slice(2)];
      const own: Shapes = {
        ...shapes,
        ...Object.fromEntries(['q', 'pq', 'alpha', 'eta', 'theta'].map((name) => [name, from(name)])),
        s1: w1,
        s2: w2,
        ...(position % 4 && { anchor1: w1, anchor2: w2 }),
      };
      const { gamma } = inputs;
      const drawn = Object.fromEntries(Object.entries(own).map(([name, shape], i) => [name, draw(sizeOf(shape), i)]));
      const check = {
        forward: atlasMemoryStep,
        plain,
        shapes: own,
        attrs: { ...attrs, position },
        inputs: { ...drawn, gamma },
      };
      expectAgreement(native, check, tolerance);
    }
  });

  it('gives zeros for nothing to learn, and gives the same bits on one thread and on two', () => {
    const { shapes, attrs, inputs } = setting({ T: 20, R: 5, H: 1 });
    const rest = Object.fromEntries(['p', 'k', 'v', 'q', 'pq'].map((name, i) => [name, draw(sizeOf(shapes[name]), i)]));
    const given = { ...rest, ...inputs };
    const silent = native.run(atlasMemory, { ...given, gamma: inputs.gamma.map(() => 0), theta: inputs.theta.map(() => 0) }, shapes, attrs); // biome-ignore format: one call
    expect(silent.y.every(Number.isFinite)).toBe(true);
    const results = [1, 2].map((threads) => {
      native.threads(threads);
      const done = native.run(atlasMemory, given, shapes, attrs);
      const feed = { ...given, states: done.states, dy: draw(done.y.length, 9) };
      return { ...done, ...native.run(atlasMemoryGrad, feed, shapes, attrs) };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

describe('plain AtlasMemory', () => {
  it.each<Given>([
    { T: 6, R: 1, H: 1, chunk: 2, nsSteps: 3 },
    { T: 5, R: 2, H: 1, chunk: 1, window: 1 },
    { T: 4, h: 0, F: 6, nsSteps: 2 },
  ])('has the slopes that it claims: %j', (given) => {
    expectSlopes(setting(given));
  });

  it('cuts tokens into segments of whole chunks, or chunks into segments', () => {
    expect(segmentStarts(5, 40)).toEqual([0, 15, 30]);
    expect(segmentStarts(1, 33)).toEqual([0, 16, 32]);
    expect(segmentStarts(20, 45)).toEqual([0, 16, 20, 36, 40]);
    expect(segmentStarts(16, 16)).toEqual([0]);
  });

  it('refuses shapes that do not fit, in a sentence', () => {
    const { shapes, attrs } = setting({ T: 4 });
    expect(atlasMemory.refuses?.({ ...shapes, v: [2, 4, 5] }, attrs)).toBe('v is [2,4,5], and [2,4,3] fits the others');
    expect(atlasMemory.refuses?.({ ...shapes, w1: [3, 4, 5], w2: [3, 5, 3] }, attrs)).toMatch(
      /2 memories can't start from 3/,
    );
  });
});
