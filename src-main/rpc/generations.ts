// Texts of trained runs: one process a text, its pieces to the window that asked.
import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { checkpointSteps } from '../engine/checkpoint';
import { runFolder } from '../runs/folder';
import { SpecError } from '../spec/error';
import { DEVICES, type ObjectiveKind, PRECISIONS } from '../spec/run';
import { getRun } from '../store/run';
import type { FillRequest, GenerationRequest, Implementation } from './contract';
import { startGeneration, type Work } from './generation';
import type { Lab } from './lab';
import { type Caller, type Inputs, id } from './method';
import { noCheckpoint, refuseOthers } from './trained';

const MAX_PROMPT = 20_000;
const MAX_LENGTH = 20_000;
/** Each is a process with a model of its own. */
const MAX_AT_ONCE = 8;
/** Two models that write side by side share the cores, and one alone has the same pace as beside another. */
const threads = Math.max(1, Math.floor(availableParallelism() / 2));

const choiceShape = {
  prompt: z.string().max(MAX_PROMPT),
  temperature: z.number().min(0).max(10),
  topK: z.int().min(0).max(1_000_000),
  topP: z.number().gt(0).max(1),
  seed: z.int().min(0).max(0xffff_ffff),
  device: z.enum(DEVICES).optional(),
  precision: z.enum(PRECISIONS).optional(),
};
/** What shapes a text, whoever asks: the window, or the command line. */
export const samplingShape = { ...choiceShape, length: z.int().min(1).max(MAX_LENGTH) };
export const fillShape = { ...choiceShape, passes: z.int().min(1).max(MAX_PROMPT) };

export const inputs: Inputs<'generations'> = {
  start: z.strictObject({ run: id, ...samplingShape }),
  fill: z.strictObject({ run: id, ...fillShape }),
  cancel: z.strictObject({ id }),
};

export function generations({ store, paths, generator, closing }: Lab) {
  const going = new Map<string, () => void>();
  /** Without a caller nobody would hear the text, so none is written. */
  function begin(run: string, objective: ObjectiveKind, caller: Caller | undefined, work: (folder: string) => Work) {
    if (!caller) throw new Error('internal: a text was asked for by nobody');
    const known = getRun(store, run);
    if (!known) throw new SpecError(`there is no run ${JSON.stringify(run)} in this lab`, 'run');
    const folder = runFolder(paths, run);
    refuseOthers(known.spec, objective);
    if (checkpointSteps(folder).length === 0) throw noCheckpoint(known.name);
    if (going.size >= MAX_AT_ONCE)
      throw new SpecError(`${going.size} texts are being written already, which is the most at a time; stop one first`);
    const id = randomUUID();
    const cancel = startGeneration({
      script: generator(),
      work: work(folder),
      hear(piece) {
        if (piece.done) {
          going.delete(id);
          for (const signal of [caller.gone, closing]) signal.removeEventListener('abort', cancel);
        }
        caller.tell({ kind: 'generation', id, ...piece });
      },
    });
    going.set(id, cancel);
    for (const signal of [caller.gone, closing]) signal.addEventListener('abort', cancel);
    if (caller.gone.aborted || closing.aborted) cancel();
    return { id };
  }
  const lab = paths.folder;
  return {
    start: ({ run, ...rest }: GenerationRequest, caller?: Caller) =>
      begin(run, 'next_token', caller, (folder) => ({ kind: 'continue', request: { ...rest, folder, lab, threads } })),
    fill: ({ run, ...rest }: FillRequest, caller?: Caller) =>
      begin(run, 'masked', caller, (folder) => ({ kind: 'fill', request: { ...rest, folder, lab, threads } })),
    cancel: ({ id }) => going.get(id)?.(),
  } satisfies Implementation['generations'];
}
