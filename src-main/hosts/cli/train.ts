// archlab train SPEC.json --out DIR: one run in a folder of its own, which any lab can take in later.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { readEvents } from '../../log/read';
import { readDrafts } from '../../rpc/runs';
import { countAtWork, workerOf } from '../../runs/at-work';
import { labFolder, labPaths, readSpec, writeWhole } from '../../runs/folder';
import { systemTrouble, threadsFor } from '../../runs/standing';
import { DEVICES, type DeviceId, type RunSpec } from '../../spec/run';
import { answer, answerJson, CommandError, type ExitCode, Interrupt, say } from './command';
import { type End, follow } from './follow';
import { showProgress } from './progress';

export interface TrainOptions {
  out: string;
  resume?: boolean;
  device?: string;
  seed?: number;
  threads?: number;
  folder?: string;
  json?: boolean;
}

/** Trains as the spec says; exit code 0 once the run has finished. */
export async function train(file: string | undefined, options: TrainOptions): Promise<ExitCode> {
  const folder = resolve(options.out);
  const spec = options.resume ? resumed(folder, file, labFolder(options.folder)) : begun(folder, file, options);
  using interrupt = new Interrupt();
  const { end, last } = await runFolder({
    folder,
    spec,
    lab: labFolder(options.folder),
    threads: options.threads,
    interrupt,
  });
  if (options.json) answerJson({ ...end, folder, metrics: last });
  else answer(`${end.why}\n${metricsLine(last)}Run folder: ${folder}`);
  if (end.status === 'finished') return 0;
  if (!options.json) say(`Go on with: archlab train --out ${options.out} --resume`);
  return 1;
}

/** Runs a folder to its end under a progress bar; gives the newest value of each metric too. */
export async function runFolder(options: {
  folder: string;
  spec: RunSpec;
  lab: string;
  threads?: number;
  interrupt: Interrupt;
  name?: string;
}): Promise<{ end: End; last: Record<string, number | null> }> {
  const { folder, spec, lab, interrupt } = options;
  const last: Record<string, number | null> = {};
  const progress = showProgress(options.name ?? spec.name ?? basename(folder), spec.budget.steps);
  try {
    const end = await follow({
      folder,
      lab,
      threads: options.threads ?? spec.threads ?? share(lab),
      interrupt,
      see(event) {
        progress.see(event);
        if (event.kind === 'metric' || event.kind === 'evaluation') Object.assign(last, event.values);
        if (event.kind === 'warning') say(`\n${event.message}`);
      },
    });
    return { end, last };
  } finally {
    progress.end();
  }
}

/** Threads beside the runs that compute in the lab already. Those of an open lab make room for this one; it keeps what it begins with. */
const share = (lab: string): number => threadsFor(availableParallelism(), 1 + countAtWork(labPaths(lab)));

/** Lays a new run folder from a spec file. */
function begun(folder: string, file: string | undefined, options: TrainOptions): RunSpec {
  const { device, seed } = options;
  if (!file) throw new CommandError('train wants the file of a run spec: archlab train SPEC.json --out DIR', 2);
  if (existsSync(join(folder, 'spec.json')))
    throw new CommandError(`${folder} already holds a run; go on with it by --resume, or choose another --out`);
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new CommandError(`${folder} is not empty; choose a new folder for --out`);
  const draft = readDraft(file);
  const [spec] = readDrafts(
    [{ ...draft, ...(device && { device: parseDevice(device) }), ...(seed !== undefined && { seed }) }],
    labFolder(options.folder),
  );
  try {
    mkdirSync(join(folder, 'checkpoints'), { recursive: true });
    writeWhole(join(folder, 'spec.json'), `${JSON.stringify(spec, null, 2)}\n`);
  } catch (error) {
    throw new CommandError(systemTrouble(error, folder) ?? (error as Error).message);
  }
  return spec;
}

function readDraft(file: string): object {
  const path = resolve(file);
  if (!existsSync(path)) throw new CommandError(`${path} does not exist`, 2);
  let draft: unknown;
  try {
    draft = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new CommandError(`${path} is not JSON: ${(error as Error).message}`, 2);
  }
  if (typeof draft !== 'object' || draft === null || Array.isArray(draft))
    throw new CommandError(`${path} holds no run spec: it wants an object with model, task and budget`, 2);
  return draft;
}

/** @throws CommandError for a device that is none, with those that are. */
export function parseDevice(device: string): DeviceId {
  if ((DEVICES as readonly string[]).includes(device)) return device as DeviceId;
  throw new CommandError(`--device: ${device} is not a device; known are ${DEVICES.join(', ')}`, 2);
}

/** The spec of a folder whose run can go on. */
function resumed(folder: string, file: string | undefined, lab: string): RunSpec {
  if (file) throw new CommandError('--resume takes the spec from the run folder; leave the spec file out', 2);
  if (!existsSync(join(folder, 'spec.json'))) throw new CommandError(`${folder} holds no run to resume`);
  const pid = workerOf(folder);
  if (pid) throw new CommandError(`process ${pid} is at work on ${folder}; stop it first`);
  if (hasFinished(folder)) throw new CommandError(`the run in ${folder} has finished; there is nothing to resume`);
  return readDrafts([readSpec(folder)], lab)[0];
}

function hasFinished(folder: string): boolean {
  let finished = false;
  for (let offset = 0; ; ) {
    const read = readEvents(folder, offset);
    if (read.offset === offset) return finished;
    offset = read.offset;
    for (const event of read.events) finished = event.kind === 'ended' && event.status === 'finished';
  }
}

const metricsLine = (last: Record<string, number | null>): string => {
  const shown = Object.entries(last).filter(([name, value]) => /^(loss|accuracy)\/\w+$/.test(name) && value !== null);
  return shown.length ? `${shown.map(([name, value]) => `${name} ${value?.toFixed(4)}`).join(', ')}\n` : '';
};
