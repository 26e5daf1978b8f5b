// A captured step that plays beside JavaScript: a signal ends it between two kernels, with weights and optimiser as before it.
import type { Variable } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { memoryFacts, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec } from '../spec/model';
import { buildModel } from './build';
import type { Part } from './gradient';
import { makeOptimiser } from './optimiser';
import { makeStep } from './step';

// Some 0.2 s a step on one core of 2025, in calls of at most 20 ms.
const spec: ModelSpec = {
  format: MODEL_FORMAT,
  width: 256,
  positions: 'none',
  layers: [{ repeat: 3, layers: [{ block: 'softmax_attention', options: { heads: 4 } }, { block: 'gated_mlp' }] }],
  finalNorm: 'rms',
  head: { tied: true },
};
const ids = (from: number) => Int32Array.from({ length: 2048 }, (_, i) => (i * i + from) % 61);
const part = (step: number): Part => ({ size: 8, tokens: 256, inputs: ids(step), targets: ids(step + 1), mask: null });

function open() {
  const model = buildModel(spec, { vocabulary: 61, tokens: 256, seed: 1 });
  const optimiser = makeOptimiser(
    { kind: 'adamw', lr: 0.001, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
    model.weights as Map<string, Variable>,
    model.specs,
  );
  return { model, optimiser, step: makeStep({ model, optimiser, clip: 1, labelSmoothing: 0 }) };
}
type Opened = ReturnType<typeof open>;
function close({ model, optimiser, step }: Opened): void {
  step.dispose();
  optimiser.dispose();
  model.dispose();
}
async function weightsOf({ model }: Opened): Promise<Map<string, Int32Array>> {
  const bits = new Map<string, Int32Array>();
  for (const [name, variable] of model.weights) bits.set(name, new Int32Array((await variable.data()).slice().buffer));
  return bits;
}

beforeAll(async () => {
  await useDevice('cpu', { threads: 2 });
});
afterEach(() => {
  expect(memoryFacts().arenaBytes).toBe(0);
});

it('ends soon after the signal, changes nothing, and the next step is as if it had never been', async () => {
  const [broken, whole] = [open(), open()];
  const warm = 4;
  let stepMs = 0;
  for (let i = 0; i < warm; i++) {
    const signal = new AbortController().signal;
    await broken.step.run([part(i)], 0.001, { signal });
    const begun = performance.now();
    await whole.step.run([part(i)], 0.001);
    stepMs = performance.now() - begun;
  }
  expect(broken.step.played).toBeGreaterThan(0);
  const before = await weightsOf(broken);
  const waits: number[] = [];
  for (let i = 0; i < 5; i++) {
    const abort = new AbortController();
    let at = 0;
    const timer = setTimeout(() => {
      at = performance.now();
      abort.abort();
    }, 10);
    const thrown = await broken.step.run([part(9)], 0.001, { signal: abort.signal }).catch((error: unknown) => error);
    expect(thrown).toBe(abort.signal.reason);
    clearTimeout(timer);
    expect(at).toBeGreaterThan(0); // the timer ran while the step played
    waits.push(performance.now() - at);
  }
  // 50 ms is the aim on a machine of one's own. Other work beside the test delays a kernel as it does a whole step, of which one is a small part.
  expect(Math.min(...waits)).toBeLessThan(50);
  expect(waits.sort((a, b) => a - b)[2]).toBeLessThan(Math.max(50, stepMs / 2));
  for (const [name, bits] of await weightsOf(broken)) expect(bits, name).toEqual(before.get(name));

  const [got, wanted] = [
    await broken.step.run([part(warm)], 0.001, { signal: new AbortController().signal }),
    await whole.step.run([part(warm)], 0.001),
  ];
  expect(got).toEqual(wanted);
  const state = await weightsOf(whole);
  for (const [name, bits] of await weightsOf(broken)) expect(bits, name).toEqual(state.get(name));
  close(broken);
  close(whole);
}, 120_000);

it('does not begin when the signal came before, computed or captured', async () => {
  const opened = open();
  const before = await weightsOf(opened);
  const late = AbortSignal.abort();
  await expect(opened.step.run([part(0)], 0.001, { signal: late })).rejects.toBe(late.reason);
  for (const [name, bits] of await weightsOf(opened)) expect(bits, name).toEqual(before.get(name));
  close(opened);
}, 120_000);
