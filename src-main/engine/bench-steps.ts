// Whole training steps (forward, backward, AdamW) of every block at each size, with where their time goes.
import { availableParallelism } from 'node:os';
import type { Variable } from '@tensorflow/tfjs-core';
import { type DeviceFacts, kernels, kernelTimes, memoryFacts } from '../ops';
import { ADAMW, benchModel, benchPart, CONFIGS, type Precision, VOCABULARY } from './bench-models';
import { type Groups, type Row, spread } from './bench-rows';
import { type Asked, open, quickPeak, taken, type Work } from './bench-work';
import { buildModel, type Model } from './build';
import { stepFlops } from './cost';
import type { Part } from './gradient';
import { makeOptimiser, type Optimiser } from './optimiser';
import { makeStep, type TrainStep } from './step';

const CAPTURING = 5; // steps until one is played back, if ever
/** Steps computed op by op beside the captured ones. */
const COMPUTED = 3;

/** The group of a native kernel, by its name. */
export function groupOf(kernel: string): Exclude<keyof Groups, 'javascript'> {
  if (/^(MatMul|(Split)?Linear\d|BlockDiagonal|GatedBlocks)/.test(kernel)) return 'matmul';
  if (/Norm(Grad)?$/.test(kernel)) return 'norms';
  if (/CrossEntropy/.test(kernel)) return 'loss';
  if (/^(AdamW|Sgd|Muon|SquareSum|StoreSound)/.test(kernel)) return 'optimiser';
  if (/^(Packed)?(Gated)?Activation|^(Embedding|Dropout)/.test(kernel)) return 'other';
  return kernels.has(kernel) ? 'mixer' : 'other';
}

/** A model with all that its steps need. */
export interface Bench {
  model: Model;
  optimiser: Optimiser;
  part: Part;
  make(captured?: boolean): TrainStep;
  dispose(): void;
}

export function benchOf(config: string, block: string): Bench {
  const size = CONFIGS[config];
  const model = buildModel(benchModel(block, size), {
    vocabulary: VOCABULARY,
    tokens: size.tokens,
    seed: 1,
    order: 'any',
  });
  const optimiser = makeOptimiser(ADAMW, model.weights as Map<string, Variable>, model.specs);
  const steps: TrainStep[] = [];
  return {
    model,
    optimiser,
    part: benchPart(size),
    make(captured) {
      const step = makeStep({ model, optimiser, clip: 1, labelSmoothing: 0, captured });
      steps.push(step);
      return step;
    },
    dispose() {
      for (const step of steps) step.dispose();
      optimiser.dispose();
      model.dispose();
    },
  };
}

/** One way of making steps, measured in turn with others. */
export class Stopwatch {
  readonly times: number[] = [];
  /** Of all threads together. */
  readonly cpuMs: number[] = [];
  private readonly kernelMs = new Map<string, number>();

  constructor(
    private readonly step: TrainStep,
    private readonly part: Part,
  ) {}

  /** Runs a step and, if asked, keeps its time. */
  async take(keep: boolean): Promise<number> {
    const before = kernelTimes();
    const cpu = process.cpuUsage();
    const start = performance.now();
    const { loss } = await this.step.run([this.part], ADAMW.lr);
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    if (!Number.isFinite(loss)) throw new Error(`internal: the loss of the measured model is ${loss}`);
    if (!keep) return ms;
    this.times.push(ms);
    this.cpuMs.push((user + system) / 1000);
    for (const [name, time] of kernelTimes())
      this.kernelMs.set(name, (this.kernelMs.get(name) ?? 0) + time - (before.get(name) ?? 0));
    return ms;
  }

  /** Percent of the time in each native kernel, the largest first, and in groups of them; undefined without native kernels. */
  shares(): { kernelPercent: Record<string, number>; groups: Groups } | undefined {
    const whole = this.times.reduce((a, b) => a + b, 0);
    const inside = [...this.kernelMs].filter(([, ms]) => ms > 0).sort(([, a], [, b]) => b - a);
    if (!inside.length) return undefined;
    const groups: Groups = { matmul: 0, mixer: 0, norms: 0, loss: 0, optimiser: 0, other: 0, javascript: 100 };
    const kernelPercent: Record<string, number> = {};
    for (const [name, ms] of inside) {
      const share = (100 * ms) / whole;
      kernelPercent[name] = share;
      groups[groupOf(name)] += share;
      groups.javascript -= share;
    }
    return { kernelPercent, groups };
  }
}

/** Warms up until a step is played back, or the time for that is over; gives the first step's time. */
async function warmUp(step: TrainStep, part: Part, longest: number): Promise<{ first: number; slow: boolean }> {
  const watch = new Stopwatch(step, part);
  const end = performance.now() + 3000 * longest;
  const first = await watch.take(false);
  const slow = first > 1000 * longest;
  for (let i = 1; i < CAPTURING && !slow && step.played === 0 && performance.now() < end; i++) await watch.take(false);
  return { first, slow };
}

/** A model in each precision, the precisions in turn; the first one also op by op where it is captured. */
async function measureSteps(asked: Asked, config: string, block: string): Promise<Row[]> {
  const size = CONFIGS[config];
  const [main, ...more] = asked.precisions;
  let facts: DeviceFacts = await open(asked, main);
  const bench = benchOf(config, block);
  const { part } = bench;
  // Each precision's steps are recorded apart and have an arena of their own, so that its size tells.
  const usual = new Map<Precision, TrainStep>([main, ...more].map((one) => [one, bench.make()]));
  try {
    const budget = asked.seconds * 1000;
    const { first, slow } = await warmUp(usual.get(main)!, part, asked.longest);
    const captured = usual.get(main)!.played > 0;
    for (const precision of slow ? [] : more) {
      facts = await open(asked, precision);
      await warmUp(usual.get(precision)!, part, asked.longest);
    }
    facts = await open(asked, main);
    const watches = new Map<Precision, Stopwatch>([...usual].map(([one, step]) => [one, new Stopwatch(step, part)]));
    if (slow) watches.get(main)!.times.push(first);
    const computed = captured ? new Stopwatch(bench.make(false), part) : undefined;
    if (computed) await computed.take(false);
    const workingBytes = (precision: Precision) =>
      captured ? usual.get(precision)!.arenaBytes : memoryFacts().pooledBytes;
    const peaks = new Map<Precision, number | undefined>();
    const end = performance.now() + budget * watches.size;
    for (let round = 0; round < (slow ? 1 : 2) || (!slow && round < 50 && performance.now() < end); round++) {
      for (const [precision, watch] of watches) {
        if (slow && precision === main) continue;
        facts = await open(asked, precision);
        if (!peaks.has(precision) && captured) peaks.set(precision, quickPeak(facts.threads, precision));
        await watch.take(true);
      }
      await open(asked, main);
      if (computed && round < COMPUTED) await computed.take(true);
    }
    const spec = benchModel(block, size);
    const flop = stepFlops(spec, { tokens: size.tokens, vocabulary: VOCABULARY, batch: size.batch });
    const tokensPerStep = size.batch * size.tokens;
    const mainTimes = watches.get(main)!.times;
    return [...watches]
      .filter(([, { times }]) => times.length)
      .map(([precision, watch]): Row => {
        const ms = spread(watch.times);
        const gflops = flop / ms.median / 1e6;
        const peak = peaks.get(precision) ?? (asked.device === 'cpu' ? quickPeak(facts.threads, precision) : undefined);
        const cpuMs = watch.cpuMs.length ? spread(watch.cpuMs) : undefined;
        const one = cpuMs && asked.device === 'cpu' ? quickPeak(1, precision) : undefined;
        return {
          kind: 'step',
          ...taken(facts, precision),
          config,
          block,
          parameters: bench.model.parameters,
          tokensPerStep,
          captured,
          ms,
          ...(cpuMs && { cpuMs }),
          tokensPerSecond: spread(watch.times.map((time) => (tokensPerStep * 1000) / time)),
          gflops,
          peakShare: peak ? gflops / peak : null,
          ...(cpuMs && one && { cpuPeakShare: flop / cpuMs.median / 1e6 / one }),
          ...watch.shares(),
          ...(precision === main && computed?.times.length && { computedMs: spread(computed.times) }),
          workingBytes: workingBytes(precision),
          ...(precision !== main && {
            timesFirst: spread(watch.times.map((time, i) => mainTimes[Math.min(i, mainTimes.length - 1)] / time))
              .median,
          }),
        };
      });
  } finally {
    bench.dispose();
  }
}

/** GFLOP/s that a step is expected to run at before one has been measured: half of the peak, or what TF.js's shaders reach. */
const expectedRate = ({ device, threads }: Asked): number => {
  const peak = device === 'cpu' ? quickPeak(threads ?? availableParallelism(), 'float32') : undefined;
  return peak ? peak / 2 : 60;
};

/** What a brief look takes at L, where every block would take minutes. */
const BRIEF_AT_L: readonly string[] = ['softmax_attention', 'mamba2'];

/** Every block at every size. A model whose step would take too long, judged by the size before, is left out with a row that says so. */
export function steps(asked: Asked): Work[] {
  const rates = new Map<string, number>(); // GFLOP/s by block
  const expected = expectedRate(asked);
  const flopOf = (config: string, block: string) => {
    const { tokens, batch } = CONFIGS[config];
    return stepFlops(benchModel(block, CONFIGS[config]), { tokens, batch, vocabulary: VOCABULARY });
  };
  const briefly = (config: string, block: string) => config !== 'L' || BRIEF_AT_L.includes(block);
  return asked.configs.flatMap((config) =>
    asked.blocks
      .filter((block) => !asked.brief || briefly(config, block))
      .map((block): Work => {
        const flop = flopOf(config, block);
        const guess = flop / expected / 1e9;
        // A second precision tells little more at S.
        const mine = asked.brief && config === 'S' ? { ...asked, precisions: asked.precisions.slice(0, 1) } : asked;
        const precisions = mine.precisions.length;
        return {
          label: `${config} ${block} steps`,
          seconds: 7 * guess + precisions * Math.max(asked.seconds, 2 * guess) + 1,
          run: async () => {
            const known = rates.get(block);
            const predicted = known ? flop / known / 1e9 : guess;
            if (predicted > asked.longest) {
              const why = `a step would take about ${predicted.toFixed(0)} s; --longest allows more`;
              return [{ kind: 'skipped', what: `${config} ${block}`, why }];
            }
            const rows = await measureSteps(mine, config, block);
            for (const row of rows)
              if (row.kind === 'step' && row.precision === asked.precisions[0]) rates.set(block, row.gflops);
            return rows;
          },
        };
      }),
  );
}
