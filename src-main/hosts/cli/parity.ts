// archlab parity DIR: golden cases against this machine's arithmetic, the worst relative error of each tensor.
import { resolve } from 'node:path';
import { formatParity, passed, parity as runParity } from '../../engine/parity';
import { builtScript } from '../../runs/worker';
import { answer, answerJson, type ExitCode, say } from './command';
import { parseDevice } from './train';

export interface ParityOptions {
  device: string;
  reference?: boolean;
  json?: boolean;
}

/** Exit code 1 if a known block strays from its golden case; unknown blocks are named and passed over. */
export async function parity(
  folder: string | undefined,
  { device: name, reference, json }: ParityOptions,
): Promise<ExitCode> {
  const device = parseDevice(name);
  // What counts here is the arithmetic, not its speed: without a GPU, a software one serves.
  if (device === 'webgpu') process.env.ARCHLAB_SOFTWARE_GPU ??= '1';
  const rows = await runParity(folder === undefined ? builtScript('golden') : resolve(folder), {
    device,
    path: reference ? 'reference' : 'fused',
  });
  const ok = passed(rows);
  if (json) answerJson({ device, path: reference ? 'reference' : 'fused', ok, rows });
  else answer(formatParity(rows));
  if (!ok) say('A known block does not agree with its golden cases.');
  return ok ? 0 : 1;
}
