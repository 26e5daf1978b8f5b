// Learning rate as a pure function of the step.
import type { ScheduleSpec } from './run';

/** An exponential fall never reaches zero. */
const LEAST = 1e-3;

/**
 * Learning rate of update `step` (from 0) in a run of `steps` updates with peak `peak`.
 * Warm-up rises in equal parts and reaches the peak with its last update; the fall then runs over what is left, and would
 * reach `final * peak` with the update after the last. `wsd` (warm-up, stable, decay) falls over the last `decay` share only;
 * `exponential` by the same factor each update, to a thousandth of the peak where `final` is less.
 */
export function lrAt(schedule: ScheduleSpec, peak: number, steps: number, step: number): number {
  const { kind, warmup, final, decay } = schedule;
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const from = kind === 'wsd' ? Math.max(warmup, steps - Math.round(steps * decay)) : warmup;
  const progress = Math.min(1, Math.max(0, (step - from) / Math.max(1, steps - from)));
  switch (kind) {
    case 'constant':
      return peak;
    case 'linear':
    case 'wsd':
      return peak * (1 - (1 - final) * progress);
    case 'exponential':
      return peak * Math.max(final, LEAST) ** progress;
    case 'cosine':
      return peak * (final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress)));
  }
}
