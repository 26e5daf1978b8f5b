// archlab generate RUN: what a trained model writes, token by token, to stdout.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { checkpointSteps } from '../../engine/checkpoint';
import type { Piece } from '../../rpc/continue';
import { startGeneration, type Work } from '../../rpc/generation';
import { samplingShape } from '../../rpc/generations';
import { noCheckpoint, refuseOthers } from '../../rpc/trained';
import { ID, labFolder, labPaths, readSpec, runFolder } from '../../runs/folder';
import { builtScript } from '../../runs/worker';
import { SpecError } from '../../spec/error';
import { nearest } from '../../spec/options';
import type { ObjectiveKind } from '../../spec/run';
import { problemsOf } from '../../spec/zod';
import { answer, answerJson, CommandError, type ExitCode, Interrupt, say } from './command';
import { bytes, short } from './format';
import { readLab } from './lab';
import { parseDevice } from './train';

export interface GenerateOptions {
  prompt: string;
  length: number;
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
  device?: string;
  precision?: string;
  folder?: string;
  json?: boolean;
}

/** Exit code 1 where Ctrl-C ended the text before its length. */
export async function generate(run: string, options: GenerateOptions): Promise<ExitCode> {
  const { json, folder: lab, ...given } = options;
  const sampling = checked(samplingShape, 'generate', given);
  const folder = await writerOf(run, lab, 'next_token');
  using interrupt = new Interrupt();
  let text = '';
  const last = await written(
    { kind: 'continue', request: { ...sampling, folder, lab: labFolder(lab) } },
    interrupt,
    (piece) => {
      text += piece.text;
      if (!json) process.stdout.write(piece.text);
    },
  );
  if (!json && text) answer('');
  if (last.error !== undefined) throw new CommandError(last.error);
  const { tokens, tokensPerSecond, stateBytes, precision } = last;
  const { prompt, seed } = sampling;
  if (json) answerJson({ run: basename(folder), prompt, seed, precision, text, tokens, tokensPerSecond, stateBytes });
  say(`${tokens} tokens${paceOf(last)}, ${bytes(stateBytes)} of state${precision === null ? '' : `, in ${precision}`}`);
  return interrupt.times ? 1 : 0;
}

export const paceOf = ({ tokensPerSecond }: Piece): string =>
  tokensPerSecond === null ? '' : `, ${short(tokensPerSecond)} tokens/s`;

/**
 * What the options of a command say, as the window would send it.
 * @throws SpecError naming the options that do not fit.
 */
export function checked<S extends z.ZodRawShape>(shape: S, command: string, given: { device?: string }) {
  const { device } = given;
  const parsed = z
    .object(shape)
    .safeParse({ ...given, device: device === undefined ? undefined : parseDevice(device) });
  if (!parsed.success) throw new SpecError(problemsOf(parsed.error, command, given));
  return parsed.data;
}

/**
 * The folder of a run that can do what is asked of it.
 * @throws SpecError, CommandError for one that can't.
 */
export async function writerOf(run: string, lab: string | undefined, objective: ObjectiveKind): Promise<string> {
  const folder = await folderOf(run, lab);
  refuseOthers(readSpec(folder), objective);
  if (checkpointSteps(folder).length === 0) throw new CommandError(noCheckpoint(basename(folder)).message);
  return folder;
}

/** Lets a process of its own do the work, and hears its pieces until the last. */
export function written(
  work: Work,
  interrupt: Interrupt,
  hear: (piece: Piece) => void,
): Promise<Piece & { error?: string }> {
  return new Promise((done) => {
    const cancel = startGeneration({
      script: builtScript('generator.js'),
      work,
      hear(piece) {
        hear(piece);
        if (piece.done) done(piece);
      },
    });
    interrupt.listen(cancel);
  });
}

/**
 * The folder of a run that is named by its path, its id or its name.
 * @throws CommandError where there is none, or several.
 */
async function folderOf(run: string, lab: string | undefined): Promise<string> {
  const paths = labPaths(labFolder(lab));
  const isRun = (folder: string) => existsSync(join(folder, 'spec.json'));
  if (ID.test(run) && isRun(runFolder(paths, run))) return runFolder(paths, run);
  if (isRun(resolve(run))) return resolve(run);
  using reading = readLab(lab);
  const rows = await reading.runs.list({});
  const named = rows.filter(({ name }) => name === run);
  if (named.length === 1) return runFolder(paths, named[0].id);
  if (named.length > 1)
    throw new CommandError(
      `${named.length} runs are called ${JSON.stringify(run)}; take the id of one: ${named.map(({ id }) => id).join(', ')}`,
    );
  const near = nearest(
    run,
    rows.flatMap(({ id, name }) => [id, name]),
  );
  throw new CommandError(
    `there is no run ${JSON.stringify(run)} in ${paths.runs}, and no folder of that path holds one${near ? `; did you mean ${near}?` : '; archlab list shows them'}`,
  );
}
