// archlab bench: how fast whole training steps are, a line a measurement; JSON with every figure on request.
import { BLOCKS, CONFIGS, runBench } from '../../engine/bench';
import { answer, answerJson, CommandError, type ExitCode, say } from './command';
import { parseDevice } from './train';

export interface BenchCommand {
  configs: string;
  blocks: string;
  device: string;
  threads?: number;
  seconds: number;
  reference: boolean;
  json?: boolean;
}

/** What is measured when nothing is named. */
export const USUAL = { configs: Object.keys(CONFIGS).join(','), blocks: BLOCKS.join(',') };

const listed = (text: string) => text.split(',').map((name) => name.trim());

export async function bench({ configs, blocks, device, json, ...options }: BenchCommand): Promise<ExitCode> {
  const wanted = listed(configs);
  const unknown = wanted.find((config) => !(config in CONFIGS));
  if (unknown !== undefined)
    throw new CommandError(`--configs: ${unknown || 'nothing'} is not one; known are ${USUAL.configs}`, 2);
  const result = await runBench({
    ...options,
    configs: wanted,
    blocks: listed(blocks),
    devices: [parseDevice(device)],
    onLine: json ? say : answer,
  });
  if (json) answerJson(result);
  return 0;
}
