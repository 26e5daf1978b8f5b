// PyTorch eager beside the lab: the same models from the same weights, one captured step here and one step there in strict alternation.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor1D, Variable } from '@tensorflow/tfjs-core';
import { kernelTimes, tf } from '../ops';
import { ADAMW, benchModel, benchPart, CONFIGS, DECODABLE, type Precision, VOCABULARY } from './bench-models';
import { type Row, spread } from './bench-rows';
import { type Asked, open, taken, type Work } from './bench-work';
import { buildModel, type Model } from './build';
import { disposeState, setBack } from './decode';
import { makeOptimiser } from './optimiser';
import { planModel } from './plan';
import { writeSafetensors } from './safetensors';
import { makeStep } from './step';
import { type TorchBurst, type TorchModel, TorchServer, torchBlocks } from './torch-server';

const CAPTURING = 5; // steps until one is played back
const LEAST = 5;
const CONTEXT = 1024;
/** Tokens of a burst, and how many of the first are left out on both sides: meanwhile weights and caches come back to where the processor is fast. */
const BURST = 48;
const LEFT_OUT = 12;
const ROUNDS = 4; // at least
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
      const [ours, torch, ...rest] = await inTurn(asked.seconds, [
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

/**
 * Both generate greedily, a burst of tokens here and one there, each from the same context on, and who begins a round changes. Token by token in turn each
 * would push the other's weights out of the caches, which nobody meets who generates. In bfloat16 PyTorch may decode in float32 where that is faster.
 */
async function decoded(asked: Asked, config: string, block: string, precision: Precision): Promise<OfDecode> {
  const facts = await open(asked, precision);
  const request = { op: 'decode', context: CONTEXT, room: BURST };
  return beside({ config, block, precision, threads: facts.threads }, request, async (model, server, theirs) => {
    let state = model.stateAfter(1, CONTEXT, (shape) => tf.randomUniform(shape, 0.1, 1));
    const burst = async (): Promise<TorchBurst> => {
      const ms: number[] = [];
      let cpu = process.cpuUsage();
      let next = 0;
      for (let i = 0; i < BURST; i++) {
        if (i === LEFT_OUT) cpu = process.cpuUsage();
        const start = performance.now();
        const token = tf.tensor1d([next], 'int32') as Tensor1D;
        const done = model.step(token, state);
        state = done.state;
        next = greatest((await done.logits.data()) as Float32Array);
        tf.dispose([token, done.logits]);
        if (i >= LEFT_OUT) ms.push(performance.now() - start);
      }
      const used = cpuMs(cpu) / ms.length;
      state = setBack(state, BURST);
      return { ms, cpuMs: used };
    };
    const sides = [
      { run: burst, rounds: [] as TorchBurst[] },
      { run: () => server.burst(BURST, LEFT_OUT), rounds: [] as TorchBurst[] },
    ];
    try {
      await burst(); // records a step
      const end = performance.now() + 1000 * asked.seconds;
      for (let done = 0; done < ROUNDS || performance.now() < end; done++)
        for (const side of done % 2 ? sides.toReversed() : sides) side.rounds.push(await side.run());
      const [ours, torch] = sides.map(({ rounds }) => ({
        ms: rounds.flatMap((round) => round.ms),
        cpuMs: rounds.map((round) => round.cpuMs),
        medians: rounds.map((round) => spread(round.ms).median),
      }));
      return {
        kind: 'torch-decode',
        ...taken(facts, precision),
        version: server.version,
        config,
        block,
        context: CONTEXT,
        burst: BURST,
        leftOut: LEFT_OUT,
        rounds: ours.medians.length,
        parameters: model.parameters,
        captured: state.played > 0,
        ...compared(ours, torch),
        timesTorch: spread(torch.medians.map((ms, i) => ms / ours.medians[i])),
        form: fastest(theirs.forms),
        forms: theirs.forms ?? {},
      };
    } finally {
      disposeState(state);
    }
  });
}

const greatest = (values: Float32Array): number => {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
};

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

/** One of each in turn until the seconds are over, at least `LEAST` times: the times of each. */
async function inTurn(
  seconds: number,
  runs: readonly (() => Promise<{ ms: number; cpuMs: number }>)[],
): Promise<Side[]> {
  const sides = runs.map(() => new Side());
  const end = performance.now() + 1000 * seconds;
  for (let done = 0; done < LEAST || performance.now() < end; done++)
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

/** What there is to measure beside PyTorch on this device: work for each block that it has here, or a row that says what is missing. */
function besideTorch(asked: Asked, workOf: (blocks: readonly string[]) => Work[]): Work[] {
  if (asked.device !== 'cpu') return [];
  const why = TorchServer.missing();
  if (why) return [{ label: 'PyTorch', seconds: 0, run: async () => [{ kind: 'skipped', what: 'PyTorch', why }] }];
  return workOf(asked.blocks.filter((block) => torchBlocks().includes(block)));
}

/** Decoding after 1,024 tokens at M or else the first size. */
export const torchDecoding = (asked: Asked): Work[] =>
  besideTorch(asked, (blocks) => {
    const config = asked.configs.includes('M') ? 'M' : asked.configs[0];
    return blocks
      .filter((block) => DECODABLE.includes(block))
      .flatMap((block) =>
        asked.precisions.map((precision) => {
          const label = `${config} ${block} decoding beside PyTorch, ${precision}`;
          const run = () => orSkipped(label, () => decoded(asked, config, block, precision));
          return { label, seconds: asked.seconds + (precision === 'float32' ? 8 : 12), run };
        }),
      );
  });

/** Steps of each block that PyTorch has here, at each size and precision; then decoding. */
export const torch = (asked: Asked): Work[] =>
  besideTorch(asked, (blocks) => {
    const steps = asked.configs.flatMap((config) =>
      blocks.flatMap((block) =>
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
    return [...steps, ...torchDecoding(asked)];
  });
