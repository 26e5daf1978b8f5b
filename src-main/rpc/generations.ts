// Texts of trained runs: one process a text, its pieces to the window that asked.
import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { checkpointSteps } from '../engine/checkpoint';
import { runFolder } from '../runs/folder';
import { SpecError } from '../spec/error';
import { DEVICES } from '../spec/run';
import { getRun } from '../store/run';
import { noCheckpoint, refuseOtherTasks } from './continue';
import type { GenerationRequest, Implementation } from './contract';
import { startGeneration } from './generation';
import type { Lab } from './lab';
import { type Caller, type Inputs, id } from './method';

const MAX_PROMPT = 20_000;
const MAX_LENGTH = 20_000;
/** Each is a process with a model of its own. */
const MAX_AT_ONCE = 8;
/** Two models that write side by side share the cores, and one alone has the same pace as beside another. */
const threads = Math.max(1, Math.floor(availableParallelism() / 2));

/** What shapes a text, whoever asks: the window, or the command line. */
export const samplingShape = {
  prompt: z.string().max(MAX_PROMPT),
  length: z.int().min(1).max(MAX_LENGTH),
  temperature: z.number().min(0).max(10),
  topK: z.int().min(0).max(1_000_000),
  topP: z.number().gt(0).max(1),
  seed: z.int().min(0).max(0xffff_ffff),
  device: z.enum(DEVICES).optional(),
};

export const inputs: Inputs<'generations'> = {
  start: z.strictObject({ run: id, ...samplingShape }),
  cancel: z.strictObject({ id }),
};

export function generations({ store, paths, generator, closing }: Lab) {
  const going = new Map<string, () => void>();
  return {
    /** Without a caller nobody would hear the text, so none is written. */
    start({ run, ...rest }: GenerationRequest, caller?: Caller) {
      if (!caller) throw new Error('internal: a text was asked for by nobody');
      const known = getRun(store, run);
      if (!known) throw new SpecError(`there is no run ${JSON.stringify(run)} in this lab`, 'run');
      const folder = runFolder(paths, run);
      refuseOtherTasks(known.spec);
      if (checkpointSteps(folder).length === 0) throw noCheckpoint(known.name);
      if (going.size >= MAX_AT_ONCE)
        throw new SpecError(
          `${going.size} texts are being written already, which is the most at a time; stop one first`,
        );
      const id = randomUUID();
      const cancel = startGeneration({
        script: generator(),
        request: { ...rest, folder, lab: paths.folder, threads },
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
    },
    cancel: ({ id }) => going.get(id)?.(),
  } satisfies Implementation['generations'];
}
