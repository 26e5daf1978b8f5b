// Each optimiser follows a trajectory computed in float64 loops; state survives saving and loading bit for bit.
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { WeightSpec } from '../blocks/define';
import { tf, useDevice } from '../ops';
import type { OptimiserSpec } from '../spec/run';
import { clipScale, globalNorm, makeOptimiser, orthogonal } from './optimiser';

afterEach(() => {
  expect(tf.memory().numTensors).toBe(0);
});

/** Weights of four kinds: a vector, an embedding, a tall and a wide matrix of a block. */
const specs = new Map<string, WeightSpec>([
  ['layers.0.norm', { shape: [5], init: { kind: 'ones' } }],
  ['embedding', { shape: [7, 3], init: { kind: 'zeros' } }],
  ['layers.0.tall', { shape: [6, 3], init: { kind: 'zeros' } }],
  ['layers.0.wide', { shape: [2, 5], init: { kind: 'zeros' } }],
]);
const size = (name: string) => specs.get(name)!.shape.reduce((a, b) => a * b, 1);
const wave = (n: number, phase: number) => Float64Array.from({ length: n }, (_, i) => Math.sin(1.7 * i + phase));
/** Gradient of update t: the same float32 numbers for both sides. */
const gradient = (name: string, t: number) =>
  Float64Array.from(Float32Array.from(wave(size(name), 3 * t + name.length)));
const start = (name: string) => Float64Array.from(Float32Array.from(wave(size(name), name.length)));

type Loop = (name: string, w: Float64Array, g: Float64Array, t: number, kept: Record<string, Float64Array>) => void;

async function follow(spec: OptimiserSpec, loop: Loop, tolerance: number, updates = 12) {
  const weights = new Map<string, Variable>();
  for (const [name, { shape }] of specs)
    weights.set(
      name,
      tf.tidy(() => tf.variable(tf.tensor(Float32Array.from(start(name)), [...shape]))),
    );
  const plain = new Map([...specs.keys()].map((name) => [name, start(name)]));
  const kept = new Map([...specs.keys()].map((name) => [name, {} as Record<string, Float64Array>]));
  const optimiser = makeOptimiser(spec, weights, specs);
  for (let t = 1; t <= updates; t++) {
    const gradients = new Map<string, Tensor>();
    for (const [name, { shape }] of specs) {
      const g = gradient(name, t);
      gradients.set(name, tf.tensor(Float32Array.from(g), [...shape]));
      loop(name, plain.get(name)!, g, t, kept.get(name)!);
    }
    optimiser.update(gradients, spec.lr);
    for (const g of gradients.values()) g.dispose();
  }
  for (const [name, variable] of weights) {
    const got = await variable.data();
    const worst = Math.max(...plain.get(name)!.map((x, i) => Math.abs(x - got[i])));
    expect(worst, name).toBeLessThan(tolerance);
    variable.dispose();
  }
  optimiser.dispose();
}

const isVector = (name: string) => specs.get(name)!.shape.length === 1;
function adamLoop(o: { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number }): Loop {
  return (name, w, g, t, kept) => {
    kept.m ??= new Float64Array(w.length);
    kept.v ??= new Float64Array(w.length);
    for (let i = 0; i < w.length; i++) {
      kept.m[i] = o.beta1 * kept.m[i] + (1 - o.beta1) * g[i];
      kept.v[i] = o.beta2 * kept.v[i] + (1 - o.beta2) * g[i] * g[i];
      const mHat = kept.m[i] / (1 - o.beta1 ** t);
      const vHat = kept.v[i] / (1 - o.beta2 ** t);
      w[i] -= o.lr * (mHat / (Math.sqrt(vHat) + o.eps) + (isVector(name) ? 0 : o.weightDecay * w[i]));
    }
  };
}

/** X Xᵀ X and the like in float64, row-major. */
const product = (a: number[][], b: number[][]) =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
const transposed = (a: number[][]) => a[0].map((_, j) => a.map((row) => row[j]));
function newtonSchulz(matrix: number[][], steps: number): number[][] {
  const tall = matrix.length > matrix[0].length;
  let X = tall ? transposed(matrix) : matrix;
  const norm = Math.sqrt(X.flat().reduce((sum, x) => sum + x * x, 0)) + 1e-7;
  X = X.map((row) => row.map((x) => x / norm));
  for (let s = 0; s < steps; s++) {
    const A = product(X, transposed(X));
    const AA = product(A, A);
    const BX = product(
      A.map((row, i) => row.map((x, j) => -4.775 * x + 2.0315 * AA[i][j])),
      X,
    );
    X = X.map((row, i) => row.map((x, j) => 3.4445 * x + BX[i][j]));
  }
  return tall ? transposed(X) : X;
}

// Weights are near 1 and move by about lr an update: float32 rounding of 12 updates stays below 12 * 2^-24, with room for the steps' own rounding.
const TOLERANCE = 3e-6;

// On the cpu device the fused kernels serve, on the reference device TF.js operations.
describe.each(['cpu', 'reference'] as const)('optimisers on %s', (device) => {
  beforeAll(async () => {
    await useDevice(device, { threads: 2 });
  });

  it('AdamW', async () => {
    const spec = { kind: 'adamw', lr: 0.05, beta1: 0.9, beta2: 0.95, eps: 1e-6, weightDecay: 0.1 } as const;
    await follow(spec, adamLoop(spec), TOLERANCE);
  });

  for (const nesterov of [false, true])
    for (const momentum of [0, 0.9])
      it(`SGD with momentum ${momentum}${nesterov ? ', Nesterov' : ''}`, async () => {
        const spec = { kind: 'sgd', lr: 0.02, momentum, nesterov, weightDecay: 0.1 } as const;
        await follow(
          spec,
          (name, w, g, _t, kept) => {
            kept.b ??= new Float64Array(w.length);
            for (let i = 0; i < w.length; i++) {
              const d = g[i] + (isVector(name) ? 0 : 0.1 * w[i]);
              kept.b[i] = momentum * kept.b[i] + d;
              w[i] -= 0.02 * (nesterov ? d + momentum * kept.b[i] : kept.b[i]);
            }
          },
          TOLERANCE,
        );
      });

  for (const nesterov of [false, true])
    it(`Muon on block matrices, AdamW on the rest${nesterov ? ', Nesterov' : ''}`, async () => {
      const spec = {
        kind: 'muon',
        lr: 0.02,
        momentum: 0.95,
        nesterov,
        newtonSchulzSteps: 5,
        weightDecay: 0.1,
        adamScale: 0.05,
      } as const;
      const adam = adamLoop({ lr: 0.02 * 0.05, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 });
      await follow(
        spec,
        (name, w, g, t, kept) => {
          if (!['layers.0.tall', 'layers.0.wide'].includes(name)) return adam(name, w, g, t, kept);
          const [rows, columns] = specs.get(name)!.shape;
          kept.b ??= new Float64Array(w.length);
          for (let i = 0; i < w.length; i++) kept.b[i] = 0.95 * kept.b[i] + g[i];
          const m = Array.from(kept.b, (b, i) => (nesterov ? g[i] + 0.95 * b : b));
          const u = newtonSchulz(
            Array.from({ length: rows }, (_, r) => m.slice(r * columns, (r + 1) * columns)),
            5,
          ).flat();
          for (let i = 0; i < w.length; i++)
            w[i] = w[i] * (1 - 0.02 * 0.1) - 0.02 * Math.sqrt(Math.max(1, columns / rows)) * u[i];
        },
        // The quintic is steep at small singular values (slope 3.44 a step, 3.44^5 = 480), which amplifies rounding of 6e-8 times lr.
        2e-5,
      );
    });

  it('Newton-Schulz brings singular values near 1', () => {
    const values = tf.tidy(() => {
      const X = orthogonal(tf.tensor2d(Float32Array.from(wave(40, 0.3)), [8, 5]), 5);
      return tf.matMul(X, X, true, false).arraySync() as number[][];
    });
    // The quintic leaves singular values within 0.7 to 1.2 (Jordan 2024), so squares within 0.49 to 1.44, rank 2 here.
    const trace = values.reduce((sum, row, i) => sum + row[i], 0);
    expect(trace).toBeGreaterThan(2 * 0.45);
    expect(trace).toBeLessThan(5 * 1.5);
  });

  it('leaves a weight without a gradient alone', () => {
    const w = tf.tidy(() => tf.variable(tf.tensor1d([1, 2])));
    const kinds: OptimiserSpec[] = [
      { kind: 'adamw', lr: 1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 1 },
      { kind: 'sgd', lr: 1, momentum: 0.9, nesterov: false, weightDecay: 1 },
    ];
    for (const spec of kinds) {
      const optimiser = makeOptimiser(
        spec,
        new Map([['w', w]]),
        new Map([['w', { shape: [2], init: { kind: 'ones' } }]]),
      );
      optimiser.update(new Map(), 1);
      optimiser.dispose();
    }
    expect([...w.dataSync()]).toEqual([1, 2]);
    w.dispose();
  });

  it('goes on bit for bit after saving and loading', async () => {
    for (const spec of [
      { kind: 'adamw', lr: 0.05, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
      {
        kind: 'muon',
        lr: 0.02,
        momentum: 0.95,
        nesterov: true,
        newtonSchulzSteps: 5,
        weightDecay: 0.1,
        adamScale: 0.05,
      },
    ] as OptimiserSpec[]) {
      const fresh = () =>
        new Map(
          [...specs].map(([name, { shape }]) => [
            name,
            tf.tidy(() => tf.variable(tf.tensor(Float32Array.from(start(name)), [...shape]))),
          ]),
        );
      const run = (optimiser: ReturnType<typeof makeOptimiser>, from: number, to: number) => {
        for (let t = from; t <= to; t++)
          tf.tidy(() =>
            optimiser.update(
              new Map(
                [...specs].map(([n, { shape }]) => [n, tf.tensor(Float32Array.from(gradient(n, t)), [...shape])]),
              ),
              0.05,
            ),
          );
      };
      const [a, b] = [fresh(), fresh()];
      const whole = makeOptimiser(spec, a, specs);
      run(whole, 1, 6);
      const first = makeOptimiser(spec, b, specs);
      run(first, 1, 3);
      const saved = await first.save();
      expect(() => first.load(new Map([...saved].slice(0, 3)))).toThrow(/the optimiser state lacks /);
      const second = makeOptimiser(spec, b, specs);
      second.load(saved);
      run(second, 4, 6);
      for (const name of specs.keys()) expect(b.get(name)!.dataSync(), name).toEqual(a.get(name)!.dataSync());
      expect((await second.save()).get('updates')!.data[0]).toBe(6);
      for (const optimiser of [whole, first, second]) optimiser.dispose();
      for (const variable of [...a.values(), ...b.values()]) variable.dispose();
    }
  });
});

describe.each(['cpu', 'reference'] as const)('clipping on %s', (device) => {
  beforeAll(async () => {
    await useDevice(device);
  });

  it('brings the norm of all gradients together down to the limit, and leaves small ones as they are', () => {
    const gradients = new Map<string, Tensor>([
      ['a', tf.tensor1d([3, 0])],
      ['b', tf.tensor2d([[4]])],
    ]);
    tf.tidy(() => {
      const norm = globalNorm(gradients);
      expect(norm.dataSync()[0]).toBe(5);
      expect(clipScale(norm, 1).dataSync()[0]).toBeCloseTo(0.2, 7);
      expect(clipScale(norm, 10).dataSync()[0]).toBe(1);
      expect(clipScale(tf.scalar(0), 1).dataSync()[0]).toBe(1);
    });
    for (const g of gradients.values()) g.dispose();
  });
});
