// How far a run at work has come, and what is left of it: so that who watches its curves need not look elsewhere.
import type { RunRow } from '../../../src-main/rpc/contract';

/** Share done in whole percents, rounded down so that 100 % means done, and seconds left; null for a run that is not training. */
export const left = ({
  status,
  step,
  steps,
  etaSeconds,
}: Pick<RunRow, 'status' | 'step' | 'steps' | 'etaSeconds'>): { share: number; seconds: number } | null =>
  status === 'running' && etaSeconds !== null
    ? { share: Math.floor((100 * step) / steps) / 100, seconds: etaSeconds }
    : null;
