// One training step: gradients, their norm, clipping and the optimiser's update; captured and played back where the device can.
import type { Scalar, Tensor } from '@tensorflow/tfjs-core';
import { StepCapture, tf } from '../ops';
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

export interface TrainStep {
  /**
   * One update from these parts; the weights stay as they are if the loss or the norm is not a number.
   * @param step its number, from which alone random numbers follow (default 0)
   * @param signal aborted while loss and gradients are worked out, it ends the step with the weights as they were: a captured one between two
   * kernels, a computed one behind the gradients.
   * @throws the signal's reason
   */
  run(parts: readonly Part[], lr: number, options?: { step?: number; signal?: AbortSignal }): Promise<StepResult>;
  /** How many steps were played back. */
  readonly played: number;
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
      const [lossValue, normValue] = await both.data();
      const result = { loss: lossValue, norm: normValue };
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

  return {
    async run(batch, lr, { step: at = 0, signal } = {}) {
      signal?.throwIfAborted();
      now = at;
      parts.splice(0, parts.length, ...batch);
      shares.splice(0, shares.length, ...sharesOf(batch));
      const key = keyOf(batch);
      const step = capture.find(key);
      if (!step) return compute(key, lr, signal);
      if (signal) await step.playFirstUnless(signal);
      else step.playFirst();
      const result = { loss: step.result[0], norm: step.result[1] };
      if (isSound(result)) {
        optimiser.advance(lr);
        step.playSecond();
      }
      played += 1;
      return result;
    },
    get played() {
      return played;
    },
    get arenaBytes() {
      return capture.arenaBytes;
    },
    dispose: () => capture.dispose(),
  };
}

const isSound = ({ loss, norm }: StepResult): boolean => Number.isFinite(loss) && Number.isFinite(norm);
