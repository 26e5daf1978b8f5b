// Decisions of the loop as pure functions: when the budget is spent, which steps are reported, what is due.
import type { RunSpec } from '../spec/run';

export interface Progress {
  /** Updates made. */
  step: number;
  /** Tokens read. */
  tokens: number;
  /** Seconds spent in updates; evaluation, samples, checkpoints and pauses do not count. */
  seconds: number;
}

/** Why the budget is spent, as a sentence; undefined while it is not. */
export function spent({ steps, tokens, seconds }: RunSpec['budget'], progress: Progress): string | undefined {
  if (progress.step >= steps) return `All ${steps} steps are done.`;
  if (tokens !== undefined && progress.tokens >= tokens) return `The budget of ${tokens} tokens is used up.`;
  if (seconds !== undefined && progress.seconds >= seconds) return `The budget of ${seconds} seconds is used up.`;
  return undefined;
}

/** Runs up to this long report every step, however fast. */
const SHORT_RUN = 10_000;
const REPORT_MS = 20;

/** Report every n-th step: all of a short run's or a slow one's, else about fifty a second. */
export function reportEvery(steps: number, stepMs: number): number {
  return steps <= SHORT_RUN || stepMs >= REPORT_MS ? 1 : Math.ceil(REPORT_MS / Math.max(stepMs, 0.1));
}

/** Whether something that comes every `every` steps (0: never before the end) is due after `step` updates. */
export const isDue = (every: number, step: number): boolean => every > 0 && step % every === 0;
