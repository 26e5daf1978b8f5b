// Why a run has no samples, as the key of a sentence.
import type { RunRow } from '../../../src-main/rpc/contract';
import type { TaskCard } from '../../../src-main/spec/card';
import { isOver } from '../../../src-main/spec/event';
import type { RunSpec } from '../../../src-main/spec/run';

export function noSamples(
  { status }: Pick<RunRow, 'status'>,
  { samples }: Pick<RunSpec, 'samples'>,
  task: Pick<TaskCard, 'kind'> | undefined,
): 'noSamplesText' | 'noSamplesAsked' | 'noSamplesCame' | 'noSamples' {
  // Samples are texts; other tasks have none to write.
  if (task && task.kind !== 'text') return 'noSamplesText';
  if (!samples.every) return 'noSamplesAsked';
  return isOver(status) ? 'noSamplesCame' : 'noSamples';
}
