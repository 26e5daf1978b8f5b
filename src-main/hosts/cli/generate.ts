// archlab generate RUN: what a trained model writes, token by token, to stdout.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { checkpointSteps } from '../../engine/checkpoint';
import type { Piece } from '../../rpc/continue';
import { noCheckpoint, refuseOtherTasks } from '../../rpc/continue';
import { startGeneration } from '../../rpc/generation';
import { samplingShape } from '../../rpc/generations';
import { ID, labFolder, labPaths, readSpec, runFolder } from '../../runs/folder';
import { builtScript } from '../../runs/worker';
import { SpecError } from '../../spec/error';
import { nearest } from '../../spec/options';
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
  folder?: string;
  json?: boolean;
}

/** Exit code 1 where Ctrl-C ended the text before its length. */
export async function generate(run: string, options: GenerateOptions): Promise<ExitCode> {
  const { json, folder: lab, device, ...rest } = options;
  const given = { ...rest, device: device === undefined ? undefined : parseDevice(device) };
  const sampling = z.object(samplingShape).safeParse(given);
  if (!sampling.success) throw new SpecError(problemsOf(sampling.error, 'generate', given));
  const folder = await folderOf(run, lab);
  refuseOtherTasks(readSpec(folder));
  if (checkpointSteps(folder).length === 0) throw new CommandError(noCheckpoint(basename(folder)).message);

  using interrupt = new Interrupt();
  let text = '';
  const last = await new Promise<Piece & { error?: string }>((done) => {
    const cancel = startGeneration({
      script: builtScript('generator.js'),
      request: { ...sampling.data, folder, lab: labFolder(lab) },
      hear(piece) {
        text += piece.text;
        if (!json) process.stdout.write(piece.text);
        if (piece.done) done(piece);
      },
    });
    interrupt.listen(cancel);
  });
  if (!json && text) answer('');
  if (last.error !== undefined) throw new CommandError(last.error);
  const { tokens, tokensPerSecond, stateBytes } = last;
  const { prompt, seed } = sampling.data;
  if (json) answerJson({ run: basename(folder), prompt, seed, text, tokens, tokensPerSecond, stateBytes });
  const pace = tokensPerSecond === null ? '' : `, ${short(tokensPerSecond)} tokens/s`;
  say(`${tokens} tokens${pace}, ${bytes(stateBytes)} of state`);
  return interrupt.times ? 1 : 0;
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
