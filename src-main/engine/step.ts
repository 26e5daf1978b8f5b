// One training step: gradients, their norm, clipping and the optimiser's update; captured and played back where the device can.
import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { StepCapture, submit, tf, type WholeStep } from '../ops';
import type { Model } from './build';
import { gradientsOf, type Part, sharesOf } from './gradient';
import { clipScale, globalNorm, type Optimiser } from './optimiser';

export interface StepOptions {
  model: Model;
  optimiser: Optimiser;
  /** Gradients are scaled down to this norm; null: they stay as they are. */
  clip: number | null;
  labelSmoothing: number;
  /** False computes each step op by op. Default: unless ARCHLAB_CAPTURE is 0, steps are captured where that can be. */
  captured?: boolean;
}

export interface StepResult {
  /** Mean nats over the graded tokens of all parts. */
  loss: number;
  /** Of all gradients together, before clipping. */
  norm: number;
}

export interface RunOptions {
  /** The step's number, from which alone random numbers follow (default 0). */
  step?: number;
  /**
   * Aborted while loss and gradients are worked out, it ends the step with the weights as they were and throws its reason: a captured one of the
   * cpu device between two kernels, a computed one behind the gradients; on a GPU only before it begins.
   */
  signal?: AbortSignal;
  /** Whether loss and norm are wanted (default true). */
  read?: boolean;
}

export interface TrainStep {
  /** One update from these parts; the weights stay as they are if the loss or the norm is not a number. */
  run(parts: readonly Part[], lr: number, options?: RunOptions & { read?: true }): Promise<StepResult>;
  /** The same; where it may be done without reading, a GPU is not waited for and nothing may come back. */
  run(parts: readonly Part[], lr: number, options: RunOptions): Promise<StepResult | undefined>;
  /** How many steps were played back. */
  readonly played: number;
  /** Buffers that the step last played kept in 16 bits. */
  readonly halves: number;
  /** Bytes that the captured steps work in, beside weights and the optimiser's state. */
  readonly arenaBytes: number;
  dispose(): void;
}

/** What a step of one batch depends on but its numbers. */
const keyOf = (parts: readonly Part[]): string =>
  parts.map(({ size, tokens, mask }) => `${size}×${tokens}${mask ? ' masked' : ''}`).join(' ');

/** Model and optimiser stay the caller's. Only one step runs at a time. */
export function makeStep({ model, optimiser, clip, labelSmoothing, captured }: StepOptions): TrainStep {
  const capture = new StepCapture(captured);
  // The lists from which captured steps take their numbers.
  const parts: Part[] = [];
  const shares: number[] = [];
  let now = 0;
  let played = 0;
  let halves = 0;

  /** Step by step as written here. Where it can be captured, it is recorded meanwhile. */
  async function compute(key: string, lr: number, signal: AbortSignal | undefined): Promise<StepResult> {
    const session = capture.record(key);
    const held: Tensor[] = [];
    try {
      const { loss, gradients } = gradientsOf(model, parts, labelSmoothing, shares, () => now);
      held.push(loss, ...gradients.values());
      const norm = globalNorm(gradients);
      held.push(norm);
      const both = tf.tidy(() => tf.stack([loss, norm]));
      held.push(both);
      session?.cut(both);
      const result = resultOf(await both.data());
      signal?.throwIfAborted();
      if (!isSound(result)) return result;
      session?.resume();
      const scale: Scalar | undefined = clip === null ? undefined : clipScale(norm, clip);
      if (scale) held.push(scale);
      optimiser.update(gradients, lr, scale);
      for (const tensor of held.splice(0)) tensor.dispose();
      session?.end();
      return result;
    } finally {
      session?.abandon();
      for (const tensor of held) tensor.dispose();
    }
  }

  /** The same in one piece: the scale tells the update whether loss and norm are numbers. */
  async function computeWhole(key: string, lr: number, read: boolean): Promise<StepResult | undefined> {
    const session = capture.recordWhole(key);
    const held: Tensor[] = [];
    try {
      const { loss, gradients } = gradientsOf(model, parts, labelSmoothing, shares, () => now);
      held.push(loss, ...gradients.values());
      const norm = globalNorm(gradients);
      const both = tf.tidy(() => tf.stack([loss, norm]));
      const scale = tf.tidy(() => {
        const clipping: Scalar = clip === null ? tf.scalar(1) : clipScale(norm, clip);
        return tf.add(clipping, tf.mul(tf.add(loss, norm), 0)) as Scalar; // 0 times what is no finite number is none either
      });
      held.push(norm, scale);
      optimiser.update(gradients, lr, scale);
      for (const tensor of held.splice(0)) tensor.dispose();
      held.push(both);
      session?.end(both);
      if (!read) submit();
      return read ? resultOf(await both.data()) : undefined;
    } finally {
      session?.abandon();
      for (const tensor of held) tensor.dispose();
    }
  }

  async function playWhole(step: WholeStep, lr: number, read: boolean): Promise<StepResult | undefined> {
    optimiser.advance(lr);
    played += 1;
    const result = await step.play(read);
    return result && resultOf(result);
  }

  async function runWhole(key: string, lr: number, read: boolean): Promise<StepResult | undefined> {
    const step = capture.findWhole(key);
    const result = await (step ? playWhole(step, lr, read) : computeWhole(key, lr, read));
    if (result && !isSound(result)) optimiser.retreat();
    return result;
  }

  async function run(
    batch: readonly Part[],
    lr: number,
    { step: at = 0, signal, read = true }: RunOptions = {},
  ): Promise<StepResult | undefined> {
    signal?.throwIfAborted();
    now = at;
    parts.splice(0, parts.length, ...batch);
    shares.splice(0, shares.length, ...sharesOf(batch));
    const key = keyOf(batch);
    if (capture.whole) return runWhole(key, lr, read);
    const step = capture.find(key);
    if (!step) return compute(key, lr, signal);
    if (signal) await step.playFirstUnless(signal);
    else step.playFirst();
    halves = step.halves;
    const result = resultOf(step.result);
    if (isSound(result)) {
      optimiser.advance(lr);
      step.playSecond();
    }
    played += 1;
    return result;
  }

  return {
    run: run as TrainStep['run'],
    get played() {
      return played;
    },
    get halves() {
      return halves;
    },
    get arenaBytes() {
      return capture.arenaBytes;
    },
    dispose: () => capture.dispose(),
  };
}

const resultOf = ([loss, norm]: ArrayLike<number> & Iterable<number>): StepResult => ({ loss, norm });
const isSound = ({ loss, norm }: StepResult): boolean => Number.isFinite(loss) && Number.isFinite(norm);
