// A trained run opened to write: its newest checkpoint, the vocabulary of its task, and the sentences for those that can't.
import { basename } from 'node:path';
import { catalogue } from '../blocks';
import { buildModel, type Model } from '../engine/build';
import { newestCheckpoint } from '../engine/checkpoint';
import { loadWeights } from '../engine/trained';
import { useDevice } from '../ops';
import { readSpec } from '../runs/folder';
import { SpecError } from '../spec/error';
import { type DeviceId, type ObjectiveKind, type Precision, parseRun, type RunSpec } from '../spec/run';
import { makeRunData, tasks } from '../tasks';
import type { TaskData } from '../tasks/define';

export interface TrainedRun {
  /** Folder of the run. */
  folder: string;
  /** The lab folder, where the user's texts are. */
  lab: string;
  device?: DeviceId;
  /** Default: the run's own. */
  precision?: Precision;
  /** Threads of the device; default: all. */
  threads?: number;
}

/** Pieces of a text come at this pace: no slower than the eye, no faster than a window draws. */
export const PIECE_MS = 40;

/**
 * Calls `work` with the model as training left it, and frees it afterwards. `prepare` reads the request before the device is chosen, so that what
 * is wrong with it is said at once.
 * @throws SpecError for a run that has no checkpoint, no text, or another objective; Error of the device.
 */
export async function withTrained<P>(
  { folder, lab, device, precision: asked, threads }: TrainedRun,
  objective: ObjectiveKind,
  prepare: (data: TaskData) => P,
  work: (model: Model, data: TaskData, prepared: P, precision: Precision) => Promise<void>,
): Promise<void> {
  const spec = parseRun(readSpec(folder), catalogue, tasks);
  refuseOthers(spec, objective);
  const { checkpoint, refused } = newestCheckpoint(folder);
  if (!checkpoint) throw noCheckpoint(basename(folder), refused);
  const data = makeRunData(spec, lab);
  const prepared = prepare(data);
  if (checkpoint.data !== data.fingerprint && spec.task.options.vocabulary === 'characters')
    throw new SpecError([
      {
        path: 'run.task.options.source',
        message: 'the text has changed since the run was trained, so its characters have other ids now',
        hint: 'put the text back as it was; a run with the vocabulary bytes does not depend on it',
      },
    ]);
  const precision = asked ?? spec.precision;
  await useDevice(device ?? spec.device, { threads, precision });
  const { vocabulary, tokens } = data;
  const order = objective === 'masked' ? 'any' : 'causal';
  const model = buildModel(spec.model, { vocabulary, tokens, seed: spec.seed, order });
  try {
    loadWeights(model, checkpoint);
    await work(model, data, prepared, precision);
  } finally {
    model.dispose();
  }
}

/** @throws SpecError for a run whose task has no text to write, or that has not learned what is asked of it. */
export function refuseOthers(
  { task, objective }: Pick<RunSpec, 'task'> & Partial<Pick<RunSpec, 'objective'>>,
  wanted: ObjectiveKind,
): void {
  const kind = tasks.get(task.id)?.kind;
  if (kind !== 'text')
    throw new SpecError([
      {
        path: 'run.task.id',
        message: `the run learns ${JSON.stringify(task.id)}, which has no text to go on with`,
        hint: 'take a run that was trained on a text',
      },
    ]);
  const masked = objective?.kind === 'masked';
  if (masked && wanted !== 'masked')
    throw new SpecError([
      {
        path: 'run.objective.kind',
        message: 'the run learns to fill in hidden tokens, so it can not write on from a prompt',
        hint: 'let it fill in gaps, or take a run that predicts the next token',
      },
    ]);
  if (!masked && wanted === 'masked')
    throw new SpecError([
      {
        path: 'run.objective.kind',
        message: 'the run learns to predict the next token, so it can not fill in gaps',
        hint: 'let it write on from a prompt, or take a run that learns masked tokens',
      },
    ]);
}

export const noCheckpoint = (run: string, refused: readonly string[] = []) =>
  new SpecError([
    {
      path: 'run',
      message: `${run} has no checkpoint yet, so there is no trained model to write with${refused.length ? `; passed over: ${refused.join('; ')}` : ''}`,
      hint: 'wait for the first checkpoint, or stop the run, which writes one',
    },
  ]);

/** @throws SpecError naming the characters that the vocabulary lacks. */
export function refuseForeign(text: string, { encode, decode }: TaskData): void {
  const missing = [...new Set(text)].filter((c) => decode(encode(c)) !== c);
  if (missing.length === 0) return;
  const named = missing.slice(0, 10).map((c) => JSON.stringify(c));
  const more = missing.length > named.length ? ` and ${missing.length - named.length} more` : '';
  throw new SpecError([
    {
      path: 'prompt',
      message: `the text that the run was trained on has no ${named.join(', ')}${more}, so its vocabulary of characters has no id for ${missing.length === 1 ? 'it' : 'them'}`,
      hint: 'leave it out of the prompt, or train with the vocabulary bytes, which takes any text',
    },
  ]);
}

/** Native kernels answer without a turn of the event loop; this gives it one often enough to hear that the lab is gone. */
export function turns(): () => Promise<void> | undefined {
  let at = performance.now();
  return () => {
    if (performance.now() - at < PIECE_MS / 2) return undefined;
    return new Promise((resolve) =>
      setImmediate(() => {
        at = performance.now();
        resolve();
      }),
    );
  };
}
