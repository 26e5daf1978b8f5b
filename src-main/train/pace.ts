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

/** Which goal an evaluation has reached, as a sentence; undefined while there is none or it is not. */
export function reached(
  until: RunSpec['budget']['until'],
  values: Readonly<Record<string, number | undefined>>,
): string | undefined {
  const { 'accuracy/validation': accuracy, 'loss/validation': loss } = values;
  if (until?.accuracy !== undefined && accuracy !== undefined && accuracy >= until.accuracy)
    return `The validation accuracy reached ${until.accuracy}: it is ${rounded(accuracy)}.`;
  if (until?.loss !== undefined && loss !== undefined && loss <= until.loss)
    return `The validation loss reached ${until.loss}: it is ${rounded(loss)}.`;
  return undefined;
}
const rounded = (value: number): number => Number(value.toPrecision(4));

/** A loss so many times that of the first report is no noise any more. */
const RISEN = 3;
/** What to say of a loss that rose far above the first one; undefined while it did not. */
export function risen(
  { optimiser, schedule }: Pick<RunSpec, 'optimiser' | 'schedule'>,
  first: { step: number; loss: number },
  now: { step: number; loss: number },
): string | undefined {
  if (!(now.loss > RISEN * first.loss)) return undefined;
  const lr = Number((optimiser.lr / 3).toPrecision(2));
  return `The loss of step ${now.step} is ${rounded(now.loss)}, that of step ${first.step} was ${rounded(first.loss)}: the model unlearns. Try a lower learning rate (now ${optimiser.lr} at the peak; try ${lr}), or a longer warm-up (now ${schedule.warmup} steps).`;
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
