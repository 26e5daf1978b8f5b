// Measures the engine: the processor's peak, matrix products, and whole training steps of fixed models on each device.
import { cpus } from 'node:os';
import type { Variable } from '@tensorflow/tfjs-core';
import { type DeviceFacts, fallbacks, kernelTimes, measurePeak, memoryFacts, tf, useDevice } from '../ops';
import { MODEL_FORMAT, type ModelSpec, type Node } from '../spec/model';
import type { DeviceId, OptimiserSpec } from '../spec/run';
import { type KernelResult, measureKernels } from './bench-kernels';
import { buildModel } from './build';
import { stepFlops } from './cost';
import type { Part } from './gradient';
import { makeOptimiser } from './optimiser';
import { makeStep, type TrainStep } from './step';

export interface BenchConfig {
  layers: number;
  width: number;
  tokens: number;
  batch: number;
  /** Of attention. */
  headDim: number;
}
/** The sizes that are compared over time; 2048 tokens a step each. */
export const CONFIGS: Record<string, BenchConfig> = {
  S: { layers: 4, width: 128, tokens: 128, batch: 16, headDim: 32 },
  M: { layers: 6, width: 256, tokens: 256, batch: 8, headDim: 64 },
  L: { layers: 8, width: 512, tokens: 512, batch: 4, headDim: 64 },
};
export const BLOCKS = ['softmax_attention', 'mamba2'] as const;
const VOCABULARY = 256;
const ADAMW: OptimiserSpec = { kind: 'adamw', lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };

export interface BenchOptions {
  /** Of CONFIGS; default S, M, L. */
  configs?: string[];
  /** Blocks that mix tokens; default BLOCKS. */
  blocks?: string[];
  /** Default cpu, then reference on S alone for the ratio. */
  devices?: DeviceId[];
  threads?: number;
  /** Also time TF.js's own JavaScript CPU backend on S, for the ratio (default true): a step of it takes the better part of a minute. */
  reference?: boolean;
  /** Single kernels beside the peak, in both precisions (default: where the cpu device with native kernels is among the devices). */
  kernels?: boolean;
  /** Seconds of measured steps for each model (default 8). One whose first step takes longer is measured over that step alone. */
  seconds?: number;
  /** Only the end's result, no lines on the way. */
  json?: boolean;
  /** Takes a line for the user. */
  onLine?(line: string): void;
}

export interface Spread {
  median: number;
  min: number;
  max: number;
}
export interface StepResult {
  config: string;
  block: string;
  device: DeviceId;
  deviceDetail: string;
  parameters: number;
  tokensPerStep: number;
  /** Steps measured. */
  steps: number;
  /** False if the first step was measured too: it is too slow for a step of warm-up. */
  warmedUp: boolean;
  stepMs: Spread;
  tokensPerSecond: Spread;
  /** GFLOP/s by the model's own count of useful operations. */
  gflops: number;
  /** Percent of the time outside of native kernels, and inside each; absent without native kernels. */
  javascriptPercent?: number;
  kernelPercent?: Record<string, number>;
  /** Where the steps above were captured: the same computed op by op, in turn with them. */
  computed?: { stepMs: Spread; javascriptPercent: number; timesSlower: Spread };
  /** Where they were captured: memory beside weights and optimiser state, in the arena or in the pool. */
  workingBytes?: { captured: number; computed: number };
}
export interface BenchResult {
  processor: string;
  threads: number;
  kernelVersion: string;
  /** GFLOP/s of pure multiply-adds; null without native kernels. */
  peak: { oneThread: number | null; allThreads: number | null };
  /** Square products, float32, GFLOP/s. */
  matmul: { device: DeviceId; size: number; gflops: number }[];
  kernels: KernelResult[];
  steps: StepResult[];
  /** How many times as many tokens a second as TF.js's own JavaScript CPU backend. */
  ratios: { config: string; block: string; timesReference: number; note: string }[];
  fallbacks: string[];
}

/** A stack of `layers` pairs: the block that mixes tokens, then a gated MLP, each behind an RMS norm. */
export function benchModel(block: string, { layers, width, headDim }: BenchConfig): ModelSpec {
  const options: Record<string, Record<string, unknown>> = { softmax_attention: { heads: width / headDim } };
  const mixer: Node = { block, options: options[block] ?? {} };
  return {
    format: MODEL_FORMAT,
    name: block,
    width,
    positions: 'none',
    layers: [{ repeat: layers, layers: [mixer, { block: 'gated_mlp' }] }],
    finalNorm: 'rms',
    head: { tied: true },
  };
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}

/** Repeatable token ids. */
function makePart({ tokens, batch }: BenchConfig): Part {
  let state = 1;
  const id = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  const ids = Int32Array.from({ length: batch * (tokens + 1) }, id);
  const rows = (shift: number) =>
    Int32Array.from(
      { length: batch * tokens },
      (_, i) => ids[Math.floor(i / tokens) * (tokens + 1) + (i % tokens) + shift],
    );
  return { size: batch, tokens, inputs: rows(0), targets: rows(1), mask: null };
}

/** One way of making steps, measured in turn with another. */
class Stopwatch {
  readonly times: number[] = [];
  private readonly kernelMs = new Map<string, number>();

  constructor(private readonly step: TrainStep) {}

  /** Runs a step and keeps its time. */
  async take(part: Part, keep: boolean): Promise<number> {
    const before = kernelTimes();
    const start = performance.now();
    const { loss } = await this.step.run([part], ADAMW.lr);
    const ms = performance.now() - start;
    if (!Number.isFinite(loss)) throw new Error(`internal: the loss of the measured model is ${loss}`);
    if (!keep) return ms;
    this.times.push(ms);
    for (const [name, time] of kernelTimes())
      this.kernelMs.set(name, (this.kernelMs.get(name) ?? 0) + time - (before.get(name) ?? 0));
    return ms;
  }

  /** Percent of the time that was spent in each kernel, the largest first, and what is left for JavaScript; undefined without native kernels. */
  shares(): { javascript: number; kernels: Record<string, number> } | undefined {
    const whole = this.times.reduce((a, b) => a + b, 0);
    const kernels = [...this.kernelMs].filter(([, ms]) => ms > 0).sort(([, a], [, b]) => b - a);
    if (!kernels.length) return undefined;
    const inside = kernels.reduce((sum, [, ms]) => sum + ms, 0);
    const percent = (ms: number) => (100 * ms) / whole;
    return {
      javascript: percent(whole - inside),
      kernels: Object.fromEntries(kernels.map(([name, ms]) => [name, percent(ms)])),
    };
  }
}

const CAPTURING = 5; // steps until one is played back, if ever

/**
 * Runs full training steps (forward, backward, AdamW) on the current device until the seconds are over. Where steps are captured, captured and
 * computed ones take turns.
 */
async function measureSteps(
  config: string,
  block: string,
  device: DeviceFacts,
  { seconds, most }: { seconds: number; most: number },
): Promise<StepResult> {
  const size = CONFIGS[config];
  const spec = benchModel(block, size);
  const context = { vocabulary: VOCABULARY, tokens: size.tokens };
  const model = buildModel(spec, { ...context, seed: 1 });
  const optimiser = makeOptimiser(ADAMW, model.weights as Map<string, Variable>, model.specs);
  const part = makePart(size);
  const make = (captured?: boolean) => makeStep({ model, optimiser, clip: null, labelSmoothing: 0, captured });
  const [usual, plain] = [make(), make(false)];
  const watch = new Stopwatch(usual);
  const other = new Stopwatch(plain);
  try {
    const first = await watch.take(part, false);
    const slow = first > seconds * 1000;
    if (slow) watch.times.push(first);
    else for (let i = 1; i < CAPTURING; i++) await watch.take(part, false);
    const captured = usual.played > 0;
    if (captured) await other.take(part, false);
    const end = performance.now() + seconds * 1000;
    while (!watch.times.length || (!slow && watch.times.length < most && performance.now() < end)) {
      await watch.take(part, true);
      if (captured) await other.take(part, true);
    }
    const tokens = size.batch * size.tokens;
    const { times } = watch;
    const stepMs = spread(times);
    const shares = watch.shares();
    return {
      config,
      block,
      device: device.id,
      deviceDetail: device.detail,
      parameters: model.parameters,
      tokensPerStep: tokens,
      steps: times.length,
      warmedUp: !slow,
      stepMs,
      tokensPerSecond: spread(times.map((ms) => (tokens * 1000) / ms)),
      gflops: stepFlops(spec, { ...context, batch: size.batch }) / stepMs.median / 1e6,
      ...(shares && { javascriptPercent: shares.javascript, kernelPercent: shares.kernels }),
      ...(captured && {
        computed: {
          stepMs: spread(other.times),
          javascriptPercent: other.shares()!.javascript,
          timesSlower: spread(other.times.map((ms, i) => ms / times[i])),
        },
        workingBytes: { captured: usual.arenaBytes, computed: memoryFacts().pooledBytes },
      }),
    };
  } finally {
    usual.dispose();
    plain.dispose();
    optimiser.dispose();
    model.dispose();
  }
}

async function measureProducts(device: DeviceId): Promise<BenchResult['matmul']> {
  const results: BenchResult['matmul'] = [];
  for (const size of [128, 256, 512, 1024]) {
    const a = tf.randomUniform([size, size]);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 10; i++) {
      const start = performance.now();
      const product = tf.matMul(a, a);
      if (device !== 'cpu') await product.data();
      best = Math.min(best, performance.now() - start);
      product.dispose();
      if (best > 1000) break;
    }
    a.dispose();
    results.push({ device, size, gflops: (2 * size ** 3) / best / 1e6 });
    if (best > 1000) break;
  }
  return results;
}

const fixed = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** Takes the measurements one after another; `onLine` hears of each. */
export async function runBench({
  configs = Object.keys(CONFIGS),
  blocks = [...BLOCKS],
  devices = ['cpu'],
  threads,
  seconds = 8,
  reference = true,
  kernels = devices.includes('cpu'),
  json = false,
  onLine = () => undefined,
}: BenchOptions = {}): Promise<BenchResult> {
  const say = json ? () => undefined : onLine;
  const unknown = configs.find((config) => !(config in CONFIGS));
  if (unknown) throw new Error(`bench: unknown configuration ${unknown}; there are ${Object.keys(CONFIGS).join(', ')}`);
  const first = await useDevice(devices[0], { threads });
  const result: BenchResult = {
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    threads: first.threads,
    kernelVersion: first.kernelVersion,
    peak: { oneThread: measurePeak(1) ?? null, allThreads: measurePeak(first.threads) ?? null },
    matmul: [],
    kernels: [],
    steps: [],
    ratios: [],
    fallbacks: [],
  };
  say(`${result.processor}, ${first.detail}, kernels ${result.kernelVersion}`);
  const { oneThread, allThreads } = result.peak;
  if (oneThread && allThreads)
    say(`multiply-adds at most ${fixed(oneThread)} GFLOP/s on one thread, ${fixed(allThreads)} on ${first.threads}`);
  const take = async (config: string, block: string, facts: DeviceFacts, most: number) => {
    const step = await measureSteps(config, block, facts, { seconds, most });
    result.steps.push(step);
    const { tokensPerSecond: rate, stepMs } = step;
    say(
      `${config} ${block} on ${facts.id}: ${fixed(rate.median)} tokens/s (${fixed(rate.min)} to ${fixed(rate.max)}), ` +
        `${fixed(stepMs.median)} ms a step, ${fixed(step.gflops)} GFLOP/s, ${step.steps} steps` +
        `${step.warmedUp ? '' : ', the first included'}`,
    );
    const { computed, workingBytes: bytes, javascriptPercent } = step;
    if (computed && bytes)
      say(
        `  JavaScript ${fixed(javascriptPercent!)} % of a captured step, ${fixed(computed.javascriptPercent)} % of a computed one, ` +
          `which takes ${computed.timesSlower.median.toFixed(2)} times as long; ` +
          `memory ${fixed(bytes.captured / 2 ** 20)} MiB, computed ${fixed(bytes.computed / 2 ** 20)} MiB`,
      );
    return step;
  };
  for (const device of devices) {
    const facts = await useDevice(device, { threads });
    if (device !== 'reference') {
      const products = await measureProducts(device);
      result.matmul.push(...products);
      say(
        `products on ${device}: ${products.map(({ size, gflops }) => `${size}³ ${fixed(gflops)}`).join(', ')} GFLOP/s`,
      );
    }
    for (const config of configs) for (const block of blocks) await take(config, block, facts, 50);
  }
  if (kernels && oneThread)
    result.kernels = await measureKernels({ threads }, ({ name, pass, precision, threads: count, gflops, share }) =>
      say(
        `${precision} on ${count} thread${count === 1 ? '' : 's'}: ${name}${pass === 'product' ? '' : `, ${pass}`}: ${fixed(gflops)} GFLOP/s` +
          (share === null ? '' : `, ${(100 * share).toFixed(0)} % of the peak`),
      ),
    );
  result.fallbacks = fallbacks();
  if (reference && configs.includes('S') && devices.includes('cpu'))
    for (const block of blocks) {
      const facts = await useDevice('reference');
      const slow =
        result.steps.find((step) => step.config === 'S' && step.block === block && step.device === 'reference') ??
        (await take('S', block, facts, 1));
      const ours = result.steps.find((step) => step.config === 'S' && step.block === block && step.device === 'cpu')!;
      const timesReference = ours.tokensPerSecond.median / slow.tokensPerSecond.median;
      const note = `reference measured over ${slow.steps} step${slow.steps === 1 ? '' : 's'}`;
      result.ratios.push({ config: 'S', block, timesReference, note });
      say(`S ${block}: ${fixed(timesReference)} times TF.js's JavaScript CPU backend (${note})`);
    }
  return result;
}
