// Step capture: a training step that has been recorded is played back by one call of the addon instead of being computed op by op.
import type { Tensor } from '@tensorflow/tfjs-core';
import { note } from './fused';
import type { NativeBackend } from './native/backend';
import { Arena, Program } from './native/program';
import { difference, type Made, Recording } from './native/recording';
import { nativeBackend } from './native/register';
import * as tf from './tf';
import { GpuCapture, type WholeSession, type WholeStep } from './webgpu/capture';
import type { FusedBackend } from './webgpu/dispatch';

/** Recordings of a step until it is given up: the first may fill caches, and two must be alike. */
const TRIES = 4;
/** Steps of other shapes than these many take the ordinary way. */
const SHAPES = 16;

/**
 * A tensor whose numbers are another step's each time: `read` gives them now, and again before a captured step is played. Numbers that change
 * from step to step must come through here, or the step is not captured.
 */
export function fed(read: () => Float32Array | Int32Array, shape: number[], dtype: 'float32' | 'int32'): Tensor {
  const tensor = tf.tensor(read().slice(), shape, dtype); // our own array: it is written again and again
  if (tf.getBackend() === 'native') nativeBackend()?.feed(tensor, read);
  if (tf.getBackend() === 'webgpu') (tf.backend() as FusedBackend).feed(tensor, read);
  return tensor;
}

/** The same for one number. */
export const fedNumber = (read: () => number): Tensor => fed(() => Float32Array.of(read()), [], 'float32');

/** A step being recorded while it runs the ordinary way. */
export interface Session {
  /** The first half is over; its `result` (float32) may be read from here on. What is done until `resume` isn't part of the step. */
  cut(result: Tensor): void;
  resume(): void;
  /** It can't be captured, and why, as the end of a sentence. */
  refuse(why: string): void;
  /** The step is over and its tensors are disposed of. */
  end(): void;
  /** Forgets it; does nothing after `end`. */
  abandon(): void;
}

/** A captured step. */
export type CapturedStep = Pick<Program, 'playFirst' | 'playFirstUnless' | 'playSecond' | 'result' | 'halves'>;

/** A key beside the precision of now. */
const ownKey = (key: string): string => `${key}${nativeBackend()?.rounding ? ' bfloat16' : ''}`;

interface Attempt {
  tries: number;
  before: Recording | undefined;
}

/**
 * The captured steps of one model, each under a key that tells all on which its calls depend: shapes, and what is there or not. Those of bfloat16 are
 * captured apart, since what they keep in 16 bits is right for it alone.
 */
export class StepCapture {
  private readonly steps = new Map<string, Program | Attempt>();
  private readonly arena = new Arena();
  private readonly gpu: GpuCapture;

  /** `on`: false records nothing. `what` begins the sentence on steps that can't be captured. */
  constructor(
    private readonly on: boolean = process.env.ARCHLAB_CAPTURE !== '0',
    private readonly what = 'Training steps',
  ) {
    this.gpu = new GpuCapture(on, TRIES, SHAPES);
  }

  /** Bytes of memory that the captured steps work in. */
  get arenaBytes(): number {
    return this.arena.bytes + this.gpu.bytes;
  }

  /** True where a step is one piece, with nothing read in the midst of it: its updates see by themselves whether loss and norm are numbers. */
  get whole(): boolean {
    return tf.getBackend() === 'webgpu';
  }

  /** `find` for such devices. */
  findWhole(key: string): WholeStep | undefined {
    return this.gpu.find(key);
  }

  /** `record` for such devices. */
  recordWhole(key: string): WholeSession | undefined {
    return this.gpu.record(key);
  }

  /** The captured step, if there is one that still fits the tensors it works on. */
  find(key: string): CapturedStep | undefined {
    const own = ownKey(key);
    const step = this.steps.get(own);
    if (!(step instanceof Program)) return undefined;
    if (step.valid) return step;
    step.dispose();
    this.steps.delete(own);
    return undefined;
  }

  /** Begins to record a step; undefined where steps aren't captured: another device, ARCHLAB_CAPTURE=0, or given up on. */
  record(key: string): Session | undefined {
    const backend = tf.getBackend() === 'native' ? nativeBackend() : undefined;
    if (!backend || !this.on || backend.recording) return undefined;
    const own = ownKey(key);
    let attempt = this.steps.get(own);
    if (!attempt) {
      if (this.steps.size >= SHAPES) {
        note('capture shapes', `Steps of more than ${SHAPES} shapes come up: those of further ones are not captured.`);
        return undefined;
      }
      attempt = { tries: 0, before: undefined };
      this.steps.set(own, attempt);
    }
    if (attempt instanceof Program || attempt.tries >= TRIES) return undefined;
    return this.session(backend, own, attempt);
  }

  dispose(): void {
    for (const step of this.steps.values()) if (step instanceof Program) step.dispose();
    this.steps.clear();
    this.gpu.dispose();
  }

  private session(backend: NativeBackend, key: string, attempt: Attempt): Session {
    const recording = new Recording();
    backend.recording = recording;
    let half = { calls: 0, length: 0, place: undefined as Made | undefined };
    return {
      cut: (result) => {
        backend.recording = undefined;
        half = { calls: recording.calls, length: result.size, place: recording.find(backend.arrayOf(result)) };
        if (!half.place) recording.obstacle ??= 'its result is none of its calls’';
      },
      resume: () => {
        backend.recording = recording;
      },
      refuse: (why) => {
        recording.obstacle ??= why;
      },
      end: () => {
        backend.recording = undefined;
        attempt.tries += 1;
        recording.close();
        const why = recording.obstacle ?? (attempt.before && difference(attempt.before, recording));
        if (why === undefined && attempt.before && half.place) {
          const result = { place: half.place, length: half.length };
          this.steps.set(key, new Program(backend, this.arena, recording, half.calls, result));
          backend.pool.clear(); // what the ordinary steps worked in
        } else if (attempt.tries === TRIES) {
          attempt.before = undefined;
          note(
            `capture ${this.what} ${why}`,
            `${this.what} are not captured, so each op goes through JavaScript: ${why}.`,
          );
        } else attempt.before = recording.obstacle ? undefined : recording;
      },
      abandon: () => {
        if (backend.recording === recording) backend.recording = undefined;
      },
    };
  }
}

/** Sends what is encoded to the GPU, where nothing is read that would. */
export function submit(): void {
  if (tf.getBackend() === 'webgpu') (tf.backend() as FusedBackend).flush();
}
