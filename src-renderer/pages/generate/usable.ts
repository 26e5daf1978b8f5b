// Which runs can write a text.
import type { RunRow } from '../../../src-main/rpc/contract';
import type { TaskCard } from '../../../src-main/spec/card';

/** Why a run can't write, as the key of a sentence; undefined where it can. A task that is not known yet is given the benefit of the doubt. */
export function objection(
  run: Pick<RunRow, 'checkpointStep' | 'objective'>,
  task: Pick<TaskCard, 'kind'> | undefined,
): 'noText' | 'fillsIn' | 'noCheckpoint' | undefined {
  if (task && task.kind !== 'text') return 'noText';
  if (run.objective === 'masked') return 'fillsIn';
  return run.checkpointStep === null ? 'noCheckpoint' : undefined;
}
