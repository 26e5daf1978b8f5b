// Which runs can write a text, and how: on from a prompt, or into its gaps.
import type { RunRow } from '../../../src-main/rpc/contract';
import type { TaskCard } from '../../../src-main/spec/card';

/** Why a run can't write, as the key of a sentence; undefined where it can. A task that is not known yet is given the benefit of the doubt. */
export function objection(
  run: Pick<RunRow, 'checkpointStep'>,
  task: Pick<TaskCard, 'kind'> | undefined,
): 'noText' | 'noCheckpoint' | undefined {
  if (task && task.kind !== 'text') return 'noText';
  return run.checkpointStep === null ? 'noCheckpoint' : undefined;
}

/** What the run has learned: to fill in gaps, or to write on. */
export const fillsGaps = (run: Pick<RunRow, 'objective'> | undefined): boolean => run?.objective === 'masked';
