// Puts a checkpoint back into a model and its optimiser, the run's own or the one that it was forked from.
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Model } from '../engine/build';
import {
  CHECKPOINT_FOLDER,
  type Checkpoint,
  checkpointSteps,
  loadCheckpoint,
  newestCheckpoint,
} from '../engine/checkpoint';
import { assignAll, type Optimiser } from '../engine/optimiser';
import type { PlainTensor } from '../engine/safetensors';
import { SpecError } from '../spec/error';
import type { RunSpec } from '../spec/run';

export interface Found {
  /** Undefined: the run starts anew. */
  checkpoint: Checkpoint | undefined;
  /** Warnings about checkpoints that were passed over. */
  warnings: { code: string; message: string }[];
  /** The checkpoint is another run's. */
  forked: boolean;
}

/**
 * The checkpoint to start from: the newest whole one of the run, else its parent's, else none. Newer broken ones are set aside.
 * @throws SpecError if the parent's is missing or broken, for then nothing else fits.
 */
export function findCheckpoint(folder: string, spec: RunSpec): Found {
  const { checkpoint, refused } = newestCheckpoint(folder);
  const warnings = refused.map((message) => ({
    code: 'broken_checkpoint',
    message: `Passed over a checkpoint. ${message}`,
  }));
  if (refused.length) setAside(folder, checkpoint?.step ?? -1);
  if (checkpoint || !spec.parent) return { checkpoint, warnings, forked: false };
  const { run, step } = spec.parent;
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(run))
    throw new SpecError(`${JSON.stringify(run)} is not the id of a run`, 'run.parent.run');
  return { checkpoint: loadCheckpoint(join(folder, '..', run), step), warnings, forked: true };
}

/**
 * Renames the checkpoints after a step, so that they no longer count: they would be kept as the newest ones, and those that
 * the run makes from now on removed in their place.
 */
function setAside(runFolder: string, after: number): void {
  const folder = join(runFolder, CHECKPOINT_FOLDER);
  for (const step of checkpointSteps(runFolder).filter((step) => step > after))
    for (const ending of ['json', 'safetensors']) {
      const path = join(folder, `step-${String(step).padStart(8, '0')}.${ending}`);
      try {
        if (existsSync(path)) renameSync(path, `${path}.broken`);
      } catch {
        // Where nothing may be renamed, nothing can be saved either, and saving says so.
      }
    }
}

const below = (prefix: string, tensors: ReadonlyMap<string, PlainTensor>) =>
  new Map([...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, t]) => [name.slice(prefix.length), t]));

/**
 * Loads weights and optimiser state. A fork may have another optimiser: its state then starts anew.
 * @returns a warning, if there is something to say.
 * @throws SpecError naming the weights that differ.
 */
export function restore(
  { tensors, file }: Checkpoint,
  model: Model,
  optimiser: Optimiser,
  forked: boolean,
): { code: string; message: string } | undefined {
  assignAll(model.weights, below('weight/', tensors), file);
  try {
    optimiser.load(below('optimiser/', tensors));
  } catch (error) {
    if (!forked || !(error instanceof SpecError)) throw error;
    return {
      code: 'fresh_optimiser',
      message: `The optimiser starts anew: the state in the parent's checkpoint is another optimiser's (${error.problems[0].message}).`,
    };
  }
  return undefined;
}

/** All tensors of a checkpoint, by name. */
export async function* tensorsToSave(model: Model, optimiser: Optimiser): AsyncGenerator<[string, PlainTensor]> {
  for (const [name, variable] of model.weights)
    yield [`weight/${name}`, { shape: variable.shape, data: (await variable.data()) as Float32Array }];
  for (const [name, tensor] of await optimiser.save()) yield [`optimiser/${name}`, tensor];
}
