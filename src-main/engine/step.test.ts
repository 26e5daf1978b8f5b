// Captured steps against the same steps computed op by op: the same bits, whatever a run may ask for; and when a step can't be captured.
import type { Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { fallbacks, memoryFacts, poisonBuffers, tf, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec } from '../spec/model';
import { stream } from '../spec/random';
import type { OptimiserSpec } from '../spec/run';
import { buildModel, type Model } from './build';
import type { Part } from './gradient';
import { assignAll, makeOptimiser, type Optimiser } from './optimiser';
import type { PlainTensor } from './safetensors';
import { makeStep, type StepResult, type TrainStep } from './step';

const V = 11;
const spec = (more: Partial<ModelSpec> = {}): ModelSpec => ({
  format: MODEL_FORMAT,
  width: 8,
  positions: 'learned',
  layers: [
    { block: 'softmax_attention', options: { heads: 2 } },
    { block: 'mamba2', options: { headDim: 4, dState: 4 } },
    { block: 'gated_mlp', options: { roundTo: 8 } },
  ],
  finalNorm: 'rms',
  head: { tied: true },
  ...more,
});
/** Drops numbers of the stream, of the embedding and of each branch. */
const dropping = () =>
  spec({
    layers: [
      { block: 'softmax_attention', options: { heads: 2 } },
      { block: 'dropout', options: { rate: 0.2 } },
      { block: 'gated_mlp', options: { roundTo: 8 } },
    ],
    dropout: { embedding: 0.1, branches: 0.3 },
  });
const adamw: OptimiserSpec = { kind: 'adamw', lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
const sgd: OptimiserSpec = { kind: 'sgd', lr: 0.05, momentum: 0.9, nesterov: true, weightDecay: 0.01 };
const plainSgd: OptimiserSpec = { kind: 'sgd', lr: 0.05, momentum: 0, nesterov: false, weightDecay: 0.01 };
const muon: OptimiserSpec = {
  ...{ kind: 'muon', lr: 0.01, momentum: 0.95, nesterov: true, newtonSchulzSteps: 3, weightDecay: 0.1, adamScale: 0.5 },
} as OptimiserSpec;

interface Setting {
  model?: ModelSpec;
  optimiser?: OptimiserSpec;
  clip?: number | null;
  labelSmoothing?: number;
  accumulation?: number;
  masked?: boolean;
  /** Tokens of the rows of step i. */
  tokens?: (step: number) => number;
}

/** Batch of a step: other numbers each time, in a mask too. */
function batch(step: number, { accumulation = 1, masked = false, tokens = () => 5 }: Setting): Part[] {
  const draw = stream('batch', 1, String(step));
  const T = tokens(step);
  const ids = () => Int32Array.from({ length: 2 * T }, () => Math.floor(draw.uniform() * V));
  const mask = () => Uint8Array.from({ length: 2 * T }, (_, i) => Number(i === 0 || draw.uniform() < 0.5));
  return Array.from({ length: accumulation }, () => ({
    size: 2,
    tokens: T,
    inputs: ids(),
    targets: ids(),
    mask: masked ? mask() : null,
  }));
}
const lrOf = (step: number) => 0.01 * Math.cos(step / 15);

interface Run {
  results: StepResult[];
  state: Map<string, PlainTensor>;
  played: number;
  arenaBytes: number;
}
interface Parts {
  model: Model;
  optimiser: Optimiser;
  step: TrainStep;
}

const bits = ({ data }: PlainTensor) => new Int32Array(Float32Array.from(data).buffer);
async function stateOf({ model, optimiser }: Parts): Promise<Map<string, PlainTensor>> {
  const state = await optimiser.save();
  for (const [name, variable] of model.weights)
    state.set(`weight/${name}`, { shape: variable.shape, data: (await variable.data()) as Float32Array });
  return state;
}

function open(setting: Setting, captured: boolean): Parts {
  vi.stubEnv('ARCHLAB_CAPTURE', captured ? '' : '0');
  const { clip = 1, labelSmoothing = 0 } = setting;
  const model = buildModel(setting.model ?? spec(), { vocabulary: V, tokens: 12, seed: 1 });
  const optimiser = makeOptimiser(setting.optimiser ?? adamw, model.weights, model.specs);
  return { model, optimiser, step: makeStep({ model, optimiser, clip, labelSmoothing }) };
}
function close({ model, optimiser, step }: Parts): void {
  step.dispose();
  optimiser.dispose();
  model.dispose();
}

async function run(setting: Setting, captured: boolean, steps = 20): Promise<Run> {
  const parts = open(setting, captured);
  const results: StepResult[] = [];
  for (let i = 0; i < steps; i++) results.push(await parts.step.run(batch(i, setting), lrOf(i), { step: i }));
  const { played, arenaBytes } = parts.step;
  const state = await stateOf(parts);
  close(parts);
  return { results, state, played, arenaBytes };
}

function expectSame(got: Run, wanted: Run): void {
  expect(got.results).toEqual(wanted.results);
  expect([...got.state.keys()]).toEqual([...wanted.state.keys()]);
  for (const [name, tensor] of got.state) expect(bits(tensor), name).toEqual(bits(wanted.state.get(name)!));
}

beforeAll(async () => {
  await useDevice('cpu', { threads: 2 });
  poisonBuffers(true); // a step that is played back begins with an arena full of NaN
});
let before: number;
beforeEach(() => {
  before = memoryFacts().tensors;
});
afterEach(() => {
  vi.unstubAllEnvs();
  expect(memoryFacts()).toMatchObject({ tensors: before, arenaBytes: 0 });
});

describe('a captured step gives the bits of the computed one over 20 steps', () => {
  const settings: Record<string, Setting> = {
    AdamW: {},
    'SGD with momentum': { optimiser: sgd },
    'SGD without momentum': { optimiser: plainSgd, clip: null },
    Muon: { optimiser: muon },
    'no clipping': { clip: null },
    'clipping that always bites': { clip: 0.01 },
    'a mask, another each time': { masked: true },
    'label smoothing': { labelSmoothing: 0.1, masked: true },
    accumulation: { accumulation: 3 },
    'accumulation of masked parts': { accumulation: 2, masked: true, labelSmoothing: 0.1 },
    dropout: { model: dropping() },
    'dropout in parts': { model: dropping(), accumulation: 2 },
    'width, rows and tokens of one': { model: spec({ width: 1, layers: [{ block: 'gated_mlp' }] }), tokens: () => 1 },
    'branches and a head of its own': {
      model: spec({
        layers: [{ parallel: [[{ block: 'softmax_attention', options: { heads: 1 } }], [{ block: 'gated_mlp' }]] }],
        head: { tied: false },
        positions: 'sinusoidal',
      } as Partial<ModelSpec>),
    },
  };
  it.each(Object.keys(settings))('%s', async (name) => {
    const wanted = await run(settings[name], false);
    const got = await run(settings[name], true);
    expect(wanted.played).toBe(0);
    expect(got.played).toBeGreaterThanOrEqual(16); // the first may move weights; two more must be alike
    expect(got.arenaBytes).toBeGreaterThan(0);
    expectSame(got, wanted);
  });

  it('rows of several lengths, each with a program of its own in one arena', async () => {
    const setting: Setting = { tokens: (i) => [3, 12, 7][i % 3] };
    const got = await run(setting, true, 30);
    expect(got.played).toBeGreaterThanOrEqual(20);
    expectSame(got, await run(setting, false, 30));
  });

  it('more lengths than are captured', async () => {
    const setting: Setting = {
      model: spec({ positions: 'none', layers: [{ block: 'gated_mlp' }] }),
      tokens: (i) => 1 + (i % 18),
    };
    const got = await run(setting, true, 80);
    expect(got.played).toBeGreaterThan(0);
    expect(fallbacks().join()).toMatch(/Steps of more than 16 shapes come up/);
    expectSame(got, await run(setting, false, 80));
  });

  it('on one thread as on two', async () => {
    const two = await run({}, true);
    await useDevice('cpu', { threads: 1 });
    expectSame(await run({}, true), two);
    await useDevice('cpu', { threads: 2 });
  });
});

describe('a captured step', () => {
  it('needs less memory than the buffers that the computed step leaves in the pool', async () => {
    const parts = open({}, false);
    await parts.step.run(batch(0, {}), 0.01);
    const before = memoryFacts();
    close(parts);
    const { arenaBytes } = await run({}, true, 5);
    expect(arenaBytes).toBeLessThan(before.pooledBytes);
  });

  it('goes on bit for bit from saved weights, be it in the same model or in a fresh one', async () => {
    const wanted = await run({}, true);
    const half = await run({}, true, 11);
    const fresh = open({}, true);
    const used = open({}, true);
    for (let i = 0; i < 6; i++) await used.step.run(batch(i, {}), lrOf(i)); // captured by now, then told to start elsewhere
    for (const parts of [fresh, used]) {
      const of = (weights: boolean) =>
        new Map(
          [...half.state]
            .filter(([name]) => name.startsWith('weight/') === weights)
            .map(([name, { shape, data }]) => [name.replace('weight/', ''), { shape, data: data.slice() }]),
        );
      assignAll(parts.model.weights as Map<string, Variable>, of(true), 'test');
      parts.optimiser.load(of(false));
      const results: StepResult[] = [];
      for (let i = 11; i < 20; i++) results.push(await parts.step.run(batch(i, {}), lrOf(i)));
      expect(results).toEqual(wanted.results.slice(11));
      const state = await stateOf(parts);
      for (const [name, tensor] of state) expect(bits(tensor), name).toEqual(bits(wanted.state.get(name)!));
      close(parts);
    }
  });

  it('leaves weights, state and the count of updates alone when the loss is not a number', async () => {
    const parts = open({}, true);
    for (let i = 0; i < 8; i++) await parts.step.run(batch(i, {}), lrOf(i));
    await parts.step.run(batch(8, {}), 1e30);
    const broken = await stateOf(parts);
    const { played } = parts.step;
    for (let i = 9; i < 12; i++) expect((await parts.step.run(batch(i, {}), lrOf(i))).loss).toBeNaN();
    expect(parts.step.played).toBe(played + 3);
    for (const [name, tensor] of await stateOf(parts)) expect(bits(tensor), name).toEqual(bits(broken.get(name)!));
    close(parts);
  });

  it('is recorded only from steps that went well', async () => {
    const parts = open({}, true);
    const weight = parts.model.weights.get('final_norm')!;
    const kept = weight.dataSync() as Float32Array;
    const [spoil, whole] = [tf.fill([8], Number.POSITIVE_INFINITY), tf.tensor(kept)];
    weight.assign(spoil);
    for (let i = 0; i < 8; i++) expect((await parts.step.run(batch(i, {}), lrOf(i))).loss).toBeNaN();
    weight.assign(whole);
    tf.dispose([spoil, whole]);
    for (let i = 0; i < 8; i++) expect((await parts.step.run(batch(i, {}), lrOf(i))).loss).toBeGreaterThan(0);
    expect(parts.step.played).toBeGreaterThan(0);
    close(parts);
  });

  it('does not write where a copy of a weight is read', async () => {
    const parts = open({}, true);
    for (let i = 0; i < 5; i++) await parts.step.run(batch(i, {}), lrOf(i));
    const weight = parts.model.weights.get('final_norm')!;
    const copy = tf.clone(weight);
    const wanted = Array.from(copy.dataSync());
    const { played } = parts.step;
    await parts.step.run(batch(5, {}), lrOf(5));
    expect(parts.step.played).toBe(played); // it was computed
    expect(Array.from(copy.dataSync())).toEqual(wanted);
    expect(Array.from(weight.dataSync())).not.toEqual(wanted);
    copy.dispose();
    close(parts);
  });
});

describe('a step is computed op by op, and the log hears why,', () => {
  /** A run whose loss goes through `spoil`. */
  async function spoilt(spoil: (loss: Tensor, inputs: Tensor2D) => Tensor): Promise<string> {
    const known = fallbacks().length;
    const { model, optimiser, step } = open({}, true);
    const loss: Model['loss'] = (inputs, ...rest) =>
      tf.tidy(() => spoil(model.loss(inputs, ...rest), inputs)) as ReturnType<Model['loss']>;
    step.dispose();
    const other = makeStep({ model: { ...model, loss }, optimiser, clip: 1, labelSmoothing: 0 });
    for (let i = 0; i < 8; i++) await other.run(batch(i, {}), lrOf(i));
    expect(other.played).toBe(0);
    close({ model, optimiser, step: other });
    return fallbacks().slice(known).join();
  }

  it('where an operation runs in JavaScript', async () => {
    const said = await spoilt((loss, inputs) => tf.add(loss, tf.mul(0, tf.mean(tf.oneHot(inputs, V)))));
    expect(said).toBe(
      'Training steps are not captured, so each op goes through JavaScript: the operation OneHot runs in JavaScript.',
    );
  });

  it('where numbers are read back in the middle', async () => {
    const said = await spoilt((loss) => (loss.dataSync()[0] > 0 ? tf.add(loss, 1) : loss));
    expect(said).toMatch(/: numbers are read back in the middle of it\.$/);
  });

  it('where JavaScript makes other numbers each time', async () => {
    let n = 0;
    expect(await spoilt((loss) => tf.mul(loss, 1 + n++))).toMatch(/: numbers in it that JavaScript computes differ/);
    expect(await spoilt((loss) => tf.add(loss, tf.leakyRelu(loss, 1 + n++)))).toMatch(
      /: its calls differ from step to step/,
    );
  });

  it('where it keeps a tensor for the next step', async () => {
    let kept: Tensor | undefined;
    const said = await spoilt((loss) => {
      const sum = kept ? tf.add(loss, tf.mul(0, kept)) : loss;
      kept?.dispose();
      kept = tf.keep(tf.mul(sum, 0.5));
      return sum;
    });
    kept?.dispose();
    expect(said).toMatch(/: it leaves tensors behind for the next step/);
  });
});
