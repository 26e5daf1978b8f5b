// The shaders of ATLAS's memory against the plain loops: odd lengths and widths, one matrix and two, windows across chunks, segments of either kind.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { atlasMemory, atlasMemoryGrad, atlasMemoryStep } from '../../../kernels/atlas-memory/kernel';
import { plain } from '../../../kernels/atlas-memory/plain';
import { type Arrays, type Shapes, sizeOf } from '../../../kernels/core/kernel';
import { draw, uniform } from '../../../kernels/core/testing';
import { agree, openForTests, run, testable } from './testing';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

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
function setting({ R = 2, H = 2, T, F = 4, h = 5, d = 3, window = 3, chunk = 4, nsSteps = 0 }: Given) {
  const matrices: Shapes = { w1: [H, F, h || d], ...(h > 0 && { w2: [H, h, d] }) };
  const [rows, features, gates] = [
    [R, T, d],
    [R, T, F],
    [R, T],
  ];
  const tokens = { p: features, k: rows, v: rows, gamma: gates, q: rows, pq: features };
  const shapes: Shapes = { ...tokens, alpha: gates, eta: gates, theta: gates, ...matrices };
  const gate = (seed: number, scale: number, from = 0) => {
    const next = uniform(seed);
    return Float64Array.from({ length: R * T }, () => Math.fround(from + scale * next()));
  };
  const inputs: Arrays = { gamma: gate(1, 1), alpha: gate(2, 0.3, 0.7), eta: gate(3, 0.3), theta: gate(4, 1) };
  return {
    forward: atlasMemory,
    gradient: atlasMemoryGrad,
    plain,
    shapes,
    attrs: { window, chunk, nsSteps },
    inputs,
  };
}

/** Float32 through up to 40 tokens that learn from each other. */
const tolerance = 2e-5;
/** Five steps of orthogonalisation strengthen 2^-24 to 3e-5, and gradients go through it again for each token. */
const strengthened = 1e-3;

describe.runIf(testable)("ATLAS's memory", () => {
  beforeAll(async () => {
    await openForTests();
  });

  it.each<Given>([
    { T: 1 },
    { T: 0 },
    { T: 3, R: 0 },
    { T: 17 },
    { T: 18, chunk: 1, window: 1 },
    { T: 35, chunk: 20, window: 7 },
    { T: 33, chunk: 16, window: 1 },
    { T: 21, chunk: 5, window: 30, nsSteps: 1 },
    { T: 19, h: 0, chunk: 1, window: 2 },
    { T: 9, h: 0, F: 9, d: 2, nsSteps: 1 },
    { T: 5, F: 1, h: 1, d: 1, window: 2 },
    { T: 5, F: 17, h: 9, d: 18, R: 3, H: 1 },
  ])('agrees with the plain loops: %j', async (given) => {
    await agree(setting(given), tolerance);
  });

  it.each<Given>([
    { T: 6, nsSteps: 5 },
    { T: 18, chunk: 16, window: 4, nsSteps: 5, F: 8, h: 12, d: 8 },
    { T: 17, h: 0, chunk: 2, nsSteps: 3 },
  ])('agrees through orthogonalised steps: %j', async (given) => {
    await agree(setting(given), strengthened);
  });

  it('agrees after tokens before, from an anchor and at the start of a chunk', async () => {
    for (const [position, T] of [
      [5, 1],
      [8, 3],
      [7, 5],
    ]) {
      const { shapes, attrs, inputs } = setting({ T: T + 2 });
      const from = (name: string) => [shapes[name][0], T, ...shapes[name].slice(2)];
      const own: Shapes = {
        ...shapes,
        ...Object.fromEntries(['q', 'pq', 'alpha', 'eta', 'theta'].map((name) => [name, from(name)])),
        s1: shapes.w1,
        s2: shapes.w2,
        ...(position % 4 && { anchor1: shapes.w1, anchor2: shapes.w2 }),
      };
      const drawn = Object.fromEntries(Object.entries(own).map(([name, shape], i) => [name, draw(sizeOf(shape), i)]));
      const check = { forward: atlasMemoryStep, plain, shapes: own, attrs: { ...attrs, position } };
      await agree({ ...check, inputs: { ...drawn, gamma: inputs.gamma } }, tolerance);
    }
  });

  it('stays finite with nothing to learn', async () => {
    const { shapes, attrs, inputs } = setting({ T: 18, nsSteps: 5 });
    const rest = Object.fromEntries(
      Object.entries(shapes).flatMap(([name, shape], i) => (inputs[name] ? [] : [[name, draw(sizeOf(shape), i)]])),
    );
    const silent = { ...rest, ...inputs, gamma: inputs.gamma.map(() => 0), theta: inputs.theta.map(() => 0) };
    const done = await run(atlasMemory, silent, shapes, attrs);
    expect(done.y.every(Number.isFinite)).toBe(true);
  });
});
