// Captured steps on the GPU: recorded while they run op by op, then encoded from the record, all in one submission.
import type { Tensor } from '@tensorflow/tfjs-core';
import { note } from '../fused';
import * as tf from '../tf';
import type { FusedBackend } from './dispatch';
import { GpuProgram } from './program';
import { difference, Recording } from './recording';

/** A step being recorded while it runs the ordinary way. */
export interface WholeSession {
  /** The step is over and its tensors but the result (float32) are disposed of. */
  end(result: Tensor): void;
  /** Forgets it; does nothing after `end`. */
  abandon(): void;
}

/** A captured step, which says what became of it if asked to. */
export type WholeStep = Pick<GpuProgram, 'play'>;

interface Attempt {
  tries: number;
  before: Recording | undefined;
}

/** The captured steps of one model by key. */
export class GpuCapture {
  private readonly steps = new Map<string, GpuProgram | Attempt>();

  /** @param tries recordings of a step until it is given up. @param shapes keys that are captured at most. */
  constructor(
    private readonly on: boolean,
    private readonly tries: number,
    private readonly shapes: number,
  ) {}

  get bytes(): number {
    return [...this.steps.values()].reduce((sum, step) => sum + (step instanceof GpuProgram ? step.bytes : 0), 0);
  }

  /** The captured step, if there is one that still fits the tensors it works on. */
  find(key: string): WholeStep | undefined {
    const step = this.steps.get(key);
    if (!(step instanceof GpuProgram)) return undefined;
    if (step.valid) return step;
    step.dispose();
    this.steps.delete(key);
    return undefined;
  }

  /** Begins to record a step; undefined where steps aren't captured: another device, ARCHLAB_CAPTURE=0, or given up on. */
  record(key: string): WholeSession | undefined {
    const backend = tf.getBackend() === 'webgpu' ? (tf.backend() as FusedBackend) : undefined;
    if (!backend || !this.on || backend.recording) return undefined;
    let attempt = this.steps.get(key);
    if (!attempt) {
      if (this.steps.size >= this.shapes) {
        note(
          'capture shapes',
          `Steps of more than ${this.shapes} shapes come up: those of further ones are not captured.`,
        );
        return undefined;
      }
      attempt = { tries: 0, before: undefined };
      this.steps.set(key, attempt);
    }
    if (attempt instanceof GpuProgram || attempt.tries >= this.tries) return undefined;
    return this.session(backend, key, attempt);
  }

  dispose(): void {
    for (const step of this.steps.values()) if (step instanceof GpuProgram) step.dispose();
    this.steps.clear();
  }

  private session(backend: FusedBackend, key: string, attempt: Attempt): WholeSession {
    const recording = new Recording();
    backend.recording = recording;
    return {
      end: (result) => {
        backend.recording = undefined;
        attempt.tries += 1;
        recording.close(backend.bufferOf(result));
        const why = recording.obstacle ?? (attempt.before && difference(attempt.before, recording));
        if (why === undefined && attempt.before) {
          this.steps.set(key, new GpuProgram(backend, recording, result));
          return;
        }
        backend.forget(recording);
        if (attempt.tries === this.tries) {
          attempt.before = undefined;
          note(`capture ${why}`, `Training steps are not captured, so each op goes through JavaScript: ${why}.`);
        } else attempt.before = recording.obstacle ? undefined : recording;
      },
      abandon: () => {
        if (backend.recording !== recording) return;
        backend.recording = undefined;
        backend.forget(recording);
      },
    };
  }
}
