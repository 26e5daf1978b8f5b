// Steps on the GPU (SwiftShader at the least): one submission each, captured or not, the same bits, and what the CPU computes but for rounding.
import type { Variable } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { fallbacks, memoryFacts, tf, useDevice } from '../ops';
import type { FusedBackend } from '../ops/webgpu/dispatch';
import { openForTests, testable } from '../ops/webgpu/testing';
import { MODEL_FORMAT, type ModelSpec } from '../spec/model';
import { stream } from '../spec/random';
import type { OptimiserSpec } from '../spec/run';
import { buildModel, type Model } from './build';
import type { Part } from './gradient';
import { assignAll, makeOptimiser } from './optimiser';
import { makeStep, type StepResult } from './step';

// Shader compilers get slow when other tests share the machine.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const V = 11;
const spec: ModelSpec = {
  format: MODEL_FORMAT,
  width: 8,
  positions: 'learned',
  layers: [
    { block: 'softmax_attention', options: { heads: 2 } },
    { block: 'gated_mlp', options: { roundTo: 8 } },
  ],
  finalNorm: 'rms',
  head: { tied: true },
};
const optimisers: Record<string, OptimiserSpec> = {
  AdamW: { kind: 'adamw', lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
  'SGD with momentum': { kind: 'sgd', lr: 0.05, momentum: 0.9, nesterov: true, weightDecay: 0.01 },
  'SGD without momentum': { kind: 'sgd', lr: 0.05, momentum: 0, nesterov: false, weightDecay: 0.01 },
  Muon: {
    ...{ kind: 'muon', lr: 0.01, momentum: 0.95, nesterov: true, newtonSchulzSteps: 2, weightDecay: 0.1 },
    adamScale: 0.5,
  } as OptimiserSpec,
};

/** Two parts of a step, one masked: other numbers each time. */
function batch(step: number): Part[] {
  const draw = stream('batch', 1, String(step));
  const ids = () => Int32Array.from({ length: 10 }, () => Math.floor(draw.uniform() * V));
  const mask = () => Uint8Array.from({ length: 10 }, (_, i) => Number(i === 0 || draw.uniform() < 0.5));
  return [null, mask()].map((graded) => ({ size: 2, tokens: 5, inputs: ids(), targets: ids(), mask: graded }));
}
const lrOf = (step: number) => 0.01 * Math.cos(step / 15);

function open(
  optimiser: OptimiserSpec,
  captured: boolean,
  change: (model: Model) => Model = (model) => model,
  layers = spec.layers,
  classes = V,
) {
  const model = buildModel({ ...spec, layers }, { vocabulary: classes, tokens: 12, seed: 1, order: 'any' });
  const rule = makeOptimiser(optimiser, model.weights, model.specs);
  const step = makeStep({ model: change(model), optimiser: rule, clip: 1, labelSmoothing: 0.1, captured });
  const close = () => {
    step.dispose();
    rule.dispose();
    model.dispose();
  };
  const state = async () => {
    const all = await rule.save();
    for (const [name, variable] of model.weights)
      all.set(`weight/${name}`, { shape: variable.shape, data: (await variable.data()) as Float32Array });
    return new Map([...all].map(([name, { data }]) => [name, Array.from(data)]));
  };
  return { model, rule, step, state, close };
}

async function run(optimiser: OptimiserSpec, captured: boolean, steps = 6, layers = spec.layers, classes = V) {
  const parts = open(optimiser, captured, undefined, layers, classes);
  const results: StepResult[] = [];
  const count = () => (tf.backend() as FusedBackend).submissions;
  const before = count();
  for (let i = 0; i < steps; i++) results.push(await parts.step.run(batch(i), lrOf(i)));
  const submissions = count() - before;
  const state = await parts.state();
  const { played, arenaBytes } = parts.step;
  parts.close();
  return { results, state, submissions, played, arenaBytes };
}

describe.runIf(testable)('a step on the GPU', () => {
  let backend: FusedBackend;
  beforeAll(async () => {
    backend = await openForTests();
  });
  const count = () => ({
    tensors: tf.memory().numTensors,
    data: backend.numDataIds(),
    arena: memoryFacts().arenaBytes,
  });
  afterEach(async () => {
    await useDevice('webgpu');
  });

  it.each(Object.keys(optimisers))('captured gives the bits of the computed one: %s', async (name) => {
    const before = count();
    const wanted = await run(optimisers[name], false);
    const got = await run(optimisers[name], true);
    expect(wanted.played).toBe(0);
    expect(got.played).toBeGreaterThanOrEqual(3); // the first fills caches; two more must be alike
    expect(got.arenaBytes).toBeGreaterThan(0);
    expect(got.results).toEqual(wanted.results);
    expect(got.state).toEqual(wanted.state);
    expect(count()).toEqual(before);
    await useDevice('cpu');
    const cpu = await run(optimisers[name], false);
    // Rounding, which training carries on: far below what a wrong term would do.
    for (const [i, { loss, norm }] of cpu.results.entries()) {
      expect(got.results[i].loss).toBeCloseTo(loss, 4);
      expect(got.results[i].norm).toBeCloseTo(norm, 3);
    }
  });

  it.each([
    { blocks: ['lstm', 'gru', 'mlstm'] },
    { blocks: ['differential_attention', 'mla', 'gta'] },
    { blocks: ['memory_mosaic', 'memory_mosaic_persistent', 'slstm'] },
    { blocks: ['matrix_mixer'], options: { structure: 'cauchy', headDim: 8 } },
    { blocks: ['matrix_mixer'], options: { structure: 'vandermonde', headDim: 8 } },
    { blocks: ['gated_mlp'], options: { roundTo: 8 }, classes: 2100 }, // so many that logits stand in pieces
  ])('captured gives the bits of the computed one: $blocks $options', async ({ blocks, options, classes }) => {
    const layers = blocks.map((block) => ({
      block,
      options: options ?? (/lstm$|gru/.test(block) && block !== 'mlstm' ? {} : { heads: 2 }),
    }));
    const told = fallbacks().length;
    const wanted = await run(optimisers.AdamW, false, 6, layers, classes);
    const got = await run(optimisers.AdamW, true, 6, layers, classes);
    expect(fallbacks().slice(told)).toEqual([]);
    expect(got.played).toBe(3);
    expect(got.results).toEqual(wanted.results);
    expect(got.state).toEqual(wanted.state);
    expect([wanted.submissions, got.submissions]).toEqual([6, 6]);
    await useDevice('cpu');
    // Four steps, to 5e-6: in the fifth and sixth a change of the weights by 1e-6 moves the loss of models this small by up to 2e-4.
    const cpu = await run(optimisers.AdamW, false, 4, layers, classes);
    for (const [i, { loss }] of cpu.results.entries()) expect(got.results[i].loss).toBeCloseTo(loss, 5);
  });

  it('is one submission, captured or not, and nothing is read but the loss, when asked', async () => {
    const { step, close, state } = open(optimisers.AdamW, true);
    const read = vi.spyOn(backend, 'getBufferData');
    const map = vi.spyOn(GPUBuffer.prototype, 'mapAsync');
    try {
      for (let i = 0; i < 7; i++) {
        const [submissions, reads, maps] = [backend.submissions, read.mock.calls.length, map.mock.calls.length];
        const asked = i % 2 === 0;
        const result = await step.run(batch(i), lrOf(i), { read: asked });
        expect(result !== undefined).toBe(asked);
        expect(backend.submissions - submissions).toBe(1);
        expect(map.mock.calls.length - maps).toBe(Number(asked));
        expect(read.mock.calls.length - reads).toBe(Number(asked && i < 3));
      }
      expect(step.played).toBe(4);
    } finally {
      read.mockRestore();
      map.mockRestore();
    }
    expect(await state()).toEqual((await run(optimisers.AdamW, false, 7)).state);
    close();
  });

  it('leaves weights, state and the count of updates alone when the loss is not a number', async () => {
    const settings: [string, boolean, number][] = [
      ['AdamW', true, 4], // captured by then
      ['SGD with momentum', false, 1],
      ['Muon', false, 1],
    ];
    for (const [name, captured, steps] of settings) {
      const parts = open(optimisers[name], captured);
      let n = 0;
      const next = async () => (await parts.step.run(batch(n), lrOf(n++))).loss;
      for (let i = 0; i < steps; i++) await next();
      const weight = parts.model.weights.get('final_norm') as Variable;
      const [spoil, whole] = [tf.fill([8], Number.POSITIVE_INFINITY), tf.tensor(await weight.data())];
      weight.assign(spoil);
      const broken = await parts.state();
      for (let i = 0; i < steps; i++) expect(await next()).toBeNaN();
      expect(await parts.state()).toEqual(broken);
      weight.assign(whole);
      expect(await next()).toBeGreaterThan(0);
      expect(parts.step.played > 0).toBe(captured);
      tf.dispose([spoil, whole]);
      parts.close();
    }
  });

  it('goes on from other weights, and does not write where a copy of one is read', async () => {
    const parts = open(optimisers.AdamW, true);
    for (let i = 0; i < 5; i++) await parts.step.run(batch(i), lrOf(i));
    const weight = parts.model.weights.get('final_norm') as Variable;
    const copy = tf.clone(weight);
    const wanted = [...(await copy.data())];
    const { played } = parts.step;
    await parts.step.run(batch(5), lrOf(5));
    expect(parts.step.played).toBe(played);
    expect([...(await copy.data())]).toEqual(wanted);
    expect([...(await weight.data())]).not.toEqual(wanted);
    copy.dispose();

    const other = open(optimisers.AdamW, false);
    const weights = new Map<string, { shape: number[]; data: Float32Array }>();
    for (const [name, one] of other.model.weights)
      weights.set(name, { shape: one.shape, data: (await one.data()) as Float32Array });
    assignAll(parts.model.weights, weights, 'test');
    parts.rule.load(await other.rule.save());
    for (let i = 0; i < 5; i++)
      expect(await parts.step.run(batch(i), lrOf(i))).toEqual(await other.step.run(batch(i), lrOf(i)));
    expect(await parts.state()).toEqual(await other.state());
    parts.close();
    other.close();
  });

  it('is computed op by op where JavaScript makes other numbers each time, and the log hears why', async () => {
    let n = 0;
    const parts = open(optimisers.AdamW, true, (model) => ({
      ...model,
      loss: (...given) => tf.tidy(() => tf.mul(model.loss(...given), 1 + n++)),
    }));
    for (let i = 0; i < 6; i++) await parts.step.run(batch(i), lrOf(i));
    expect(parts.step.played).toBe(0);
    expect(fallbacks().join()).toMatch(
      /Training steps are not captured.*: numbers in it that JavaScript computes differ/,
    );
    parts.close();
  });
});
