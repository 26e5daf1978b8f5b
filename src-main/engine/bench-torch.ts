// PyTorch eager beside the lab: the same models from the same weights, one captured step here and one step there in strict alternation.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor1D, Variable } from '@tensorflow/tfjs-core';
import { kernelTimes, tf } from '../ops';
import { ADAMW, benchModel, benchPart, CONFIGS, DECODABLE, type Precision, tokenIds, VOCABULARY } from './bench-models';
import { type Row, spread } from './bench-rows';
import { type Asked, open, taken, type Work } from './bench-work';
import { buildModel, type Model } from './build';
import { disposeState } from './decode';
import { makeOptimiser } from './optimiser';
import { planModel } from './plan';
import { writeSafetensors } from './safetensors';
import { makeStep } from './step';
import { type TorchModel, TorchServer, torchBlocks } from './torch-server';

const CAPTURING = 5; // steps until one is played back
const LEAST = 5;
const CONTEXT = 1024;
const WARM = 8; // tokens
const MOST = 200;
/** The form that autograd differentiates; where there is one, it is timed too though another be faster. */
const PLAIN = 'autograd';
/** Part of the loss, on the same weights; beyond it the two are not the same model. */
const ALLOWED: Record<Precision, number> = { float32: 1e-5, bfloat16: 5e-3 };

type OfStep = Extract<Row, { kind: 'torch-step' }>;
type OfDecode = Extract<Row, { kind: 'torch-decode' }>;

const cpuMs = (since: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};

/** Weights as a file that the other process reads. */
async function writeWeights(model: Model, path: string): Promise<void> {
  const tensors = [];
  for (const [name, weight] of model.weights)
    tensors.push([name, { shape: weight.shape, data: (await weight.data()) as Float32Array }] as const);
  writeFileSync(path, writeSafetensors(tensors));
}

/** A model on both sides while `use` runs; `request` is what server.py wants beside the model. */
async function beside<Result>(
  { config, block, precision, threads }: { config: string; block: string; precision: Precision; threads: number },
  request: Record<string, unknown>,
  use: (model: Model, server: TorchServer, theirs: TorchModel) => Promise<Result>,
): Promise<Result> {
  const size = CONFIGS[config];
  const spec = benchModel(block, size);
  const model = buildModel(spec, { vocabulary: VOCABULARY, tokens: size.tokens, seed: 1, order: 'any' });
  const folder = mkdtempSync(join(tmpdir(), 'archlab-torch-'));
  let server: TorchServer | undefined;
  try {
    const weights = join(folder, 'weights.safetensors');
    await writeWeights(model, weights);
    const layers = planModel(spec).blocks.map((planned) => ({ block: planned.block.id, options: planned.options }));
    server = await TorchServer.open(threads);
    const theirs = await server.start({ ...request, weights, width: spec.width, layers, precision, threads });
    if (theirs.parameters !== model.parameters)
      throw new Error(`internal: ${block} has ${model.parameters} parameters, and ${theirs.parameters} in PyTorch`);
    return await use(model, server, theirs);
  } finally {
    server?.close();
    model.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function trained(asked: Asked, config: string, block: string, precision: Precision): Promise<OfStep> {
  const facts = await open(asked, precision);
  const { tokens, batch } = CONFIGS[config];
  const part = benchPart({ tokens, batch });
  const request = { op: 'train', tokens, batch, inputs: [...part.inputs], targets: [...part.targets], adamw: ADAMW };
  return beside({ config, block, precision, threads: facts.threads }, request, async (model, server, theirs) => {
    const optimiser = makeOptimiser(ADAMW, model.weights as Map<string, Variable>, model.specs);
    const step = makeStep({ model, optimiser, clip: null, labelSmoothing: 0 });
    try {
      const { loss } = await step.run([part], ADAMW.lr);
      const lossDifference = Math.abs(loss - theirs.loss!) / loss;
      if (!(lossDifference <= ALLOWED[precision]))
        throw new Error(
          `internal: the loss of ${block} is ${loss}, and ${theirs.loss} in PyTorch, on the same weights`,
        );
      for (let i = 1; i < CAPTURING; i++) await step.run([part], ADAMW.lr);
      const form = fastest(theirs.forms);
      const others = PLAIN in (theirs.forms ?? {}) ? Object.keys(theirs.forms!).filter((name) => name !== form) : [];
      const before = kernelTimes();
      const [ours, torch, ...rest] = await inTurn(asked.seconds, Number.POSITIVE_INFINITY, [
        timed(() => step.run([part], ADAMW.lr)),
        () => server.step(form),
        ...others.map((name) => () => server.step(name)),
      ]);
      const inside = [...kernelTimes()].map(([name, ms]) => [name, ms - (before.get(name) ?? 0)] as const);
      const whole = ours.ms.reduce((a, b) => a + b, 0);
      return {
        kind: 'torch-step',
        ...taken(facts, precision),
        version: server.version,
        config,
        block,
        parameters: model.parameters,
        captured: step.played > 0,
        ...compared(ours, torch),
        form,
        forms: theirs.forms ?? {},
        otherForms: Object.fromEntries(others.map((name, i) => [name, besides(ours, rest[i])])),
        lossDifference,
        kernelPercent: Object.fromEntries(
          inside
            .filter(([, ms]) => ms > 0)
            .sort(([, a], [, b]) => b - a)
            .map(([name, ms]) => [name, (100 * ms) / whole]),
        ),
      };
    } finally {
      step.dispose();
      optimiser.dispose();
    }
  });
}

async function decoded(asked: Asked, config: string, block: string): Promise<OfDecode> {
  const facts = await open(asked);
  const request = { op: 'decode', context: CONTEXT, room: WARM + MOST };
  return beside({ config, block, precision: 'float32', threads: facts.threads }, request, async (model, server) => {
    const ids = tokenIds(WARM + MOST);
    let state = model.stateAfter(1, CONTEXT, (shape) => tf.randomUniform(shape, 0.1, 1));
    let read = 0;
    const one = async () => {
      const token = tf.tensor1d([ids[read++]], 'int32') as Tensor1D;
      const done = model.step(token, state);
      state = done.state;
      await done.logits.data();
      tf.dispose([token, done.logits]);
    };
    try {
      for (let i = 0; i < WARM; i++) await one();
      for (let i = 0; i < WARM; i++) await server.step();
      const [ours, torch] = await inTurn(asked.seconds, MOST - WARM, [timed(one), () => server.step()]);
      return {
        kind: 'torch-decode',
        ...taken(facts, 'float32'),
        version: server.version,
        config,
        block,
        context: CONTEXT,
        parameters: model.parameters,
        captured: state.played > 0,
        ...compared(ours, torch),
      };
    } finally {
      disposeState(state);
    }
  });
}

/** Times of one side, in milliseconds. */
class Side {
  readonly ms: number[] = [];
  /** Of all threads together. */
  readonly cpuMs: number[] = [];
}

/** A step of ours, timed as the other process times its own. */
const timed = (run: () => Promise<unknown>) => async () => {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  return { ms: performance.now() - start, cpuMs: cpuMs(cpu) };
};

/** One of each in turn until the seconds are over, `LEAST` to `most` times: the times of each. */
async function inTurn(
  seconds: number,
  most: number,
  runs: readonly (() => Promise<{ ms: number; cpuMs: number }>)[],
): Promise<Side[]> {
  const sides = runs.map(() => new Side());
  const end = performance.now() + 1000 * seconds;
  for (let done = 0; done < LEAST || (done < most && performance.now() < end); done++)
    for (const [i, run] of runs.entries()) {
      const { ms, cpuMs } = await run();
      sides[i].ms.push(ms);
      sides[i].cpuMs.push(cpuMs);
    }
  return sides;
}

const besides = (ours: Side, torch: Side) => ({
  torch: spread(torch.ms),
  timesTorch: spread(torch.ms.map((ms, i) => ms / ours.ms[i])),
  torchCpu: spread(torch.cpuMs),
  timesTorchCpu: spread(torch.cpuMs.map((ms, i) => ms / ours.cpuMs[i])),
});

const compared = (ours: Side, torch: Side) => ({
  ours: spread(ours.ms),
  oursCpu: spread(ours.cpuMs),
  ...besides(ours, torch),
});

const fastest = (forms: Record<string, number> = {}): string =>
  Object.keys(forms).sort((a, b) => forms[a] - forms[b])[0] ?? '';

/** Without a Python that has torch, one row says so for all. */
async function orSkipped(label: string, measure: () => Promise<Row>): Promise<Row[]> {
  try {
    return [await measure()];
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith('internal:')) throw error;
    return [{ kind: 'skipped', what: label, why: message }];
  }
}

/** Steps of each block that PyTorch has here, at each size and precision; then decoding after 1,024 tokens at M or else the first size. */
export function torch(asked: Asked): Work[] {
  if (asked.device !== 'cpu') return [];
  const missing = TorchServer.missing();
  if (missing)
    return [{ label: 'PyTorch', seconds: 0, run: async () => [{ kind: 'skipped', what: 'PyTorch', why: missing }] }];
  const known = asked.blocks.filter((block) => torchBlocks().includes(block));
  const steps = asked.configs.flatMap((config) =>
    known.flatMap((block) =>
      asked.precisions.map((precision) => {
        const label = `${config} ${block} beside PyTorch, ${precision}`;
        return {
          label,
          seconds: asked.seconds + 15,
          run: () => orSkipped(label, () => trained(asked, config, block, precision)),
        };
      }),
    ),
  );
  const config = asked.configs.includes('M') ? 'M' : asked.configs[0];
  const tokens = known
    .filter((block) => DECODABLE.includes(block))
    .map((block) => {
      const label = `${config} ${block} decoding beside PyTorch`;
      return { label, seconds: asked.seconds + 8, run: () => orSkipped(label, () => decoded(asked, config, block)) };
    });
  return [...steps, ...tokens];
}
