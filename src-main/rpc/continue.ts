// Continues a prompt with a trained run: its newest checkpoint, the vocabulary of its task. Runs in a process of its own.
import { basename } from 'node:path';
import { catalogue } from '../blocks';
import { buildModel } from '../engine/build';
import { newestCheckpoint } from '../engine/checkpoint';
import { stateBytesOf } from '../engine/decode';
import { generate } from '../engine/generate';
import { loadWeights } from '../engine/trained';
import { useDevice } from '../ops';
import { readSpec } from '../runs/folder';
import { SpecError } from '../spec/error';
import { parseRun, type RunSpec } from '../spec/run';
import { makeTask, tasks } from '../tasks';
import type { TaskData } from '../tasks/define';
import { pieces } from '../tasks/pieces';
import type { GenerationPiece, GenerationRequest } from './contract';

export interface Continuation extends Omit<GenerationRequest, 'run'> {
  /** Folder of the run. */
  folder: string;
  /** The lab folder, where the user's texts are. */
  lab: string;
  /** Threads of the device; default: all. */
  threads?: number;
}
export type Piece = Omit<GenerationPiece, 'id' | 'error'>;

/** Pieces of more than one token come at this pace: no slower than the eye, no faster than a window draws. */
const PIECE_MS = 40;
/** What an empty prompt begins with, where the vocabulary has it. */
const NEW_LINE = '\n';

/**
 * Writes on, calling back with each piece; the last one is `done`.
 * @throws SpecError for a run that has no checkpoint or no text, and a prompt outside its vocabulary; Error of the device.
 */
export async function continueRun(request: Continuation, hear: (piece: Piece) => void): Promise<void> {
  const { folder, lab, prompt, device, threads, length, temperature, topK, topP, seed } = request;
  const spec = parseRun(readSpec(folder), catalogue, tasks);
  refuseOtherTasks(spec);
  const { checkpoint, refused } = newestCheckpoint(folder);
  if (!checkpoint) throw noCheckpoint(basename(folder), refused);
  const data = makeTask(spec.task.id, spec.task.options, { seed: spec.seed, lab });
  const given = idsOf(prompt, data);
  const changed = checkpoint.data !== data.fingerprint;
  if (changed && spec.task.options.vocabulary === 'characters')
    throw new SpecError([
      {
        path: 'run.task.options.source',
        message: 'the text has changed since the run was trained, so its characters have other ids now',
        hint: 'put the text back as it was; a run with the vocabulary bytes does not depend on it',
      },
    ]);
  await useDevice(device ?? spec.device, { threads, precision: spec.precision });
  const model = buildModel(spec.model, { vocabulary: data.vocabulary, tokens: data.tokens, seed: spec.seed });
  try {
    loadWeights(model, checkpoint);
    const { add, rest } = pieces(data.decode);
    const meter = new Meter();
    let text = '';
    let told = performance.now();
    await generate(model, {
      prompt: given,
      length,
      temperature,
      topK,
      topP,
      seed,
      onToken(id, _index, state) {
        meter.count(state ? stateBytesOf(state) : null);
        text += add(id);
        const now = performance.now();
        if (!text || (meter.tokens > 1 && now - told < PIECE_MS)) return undefined;
        hear({ ...meter.reading(), text, done: false });
        text = '';
        told = now;
        return undefined;
      },
      onRead: turns(),
    });
    hear({ ...meter.reading(), text: text + rest(), done: true });
  } finally {
    model.dispose();
  }
}

/** Counts tokens and their pace from the first one on, so that loading and the prompt do not count. */
class Meter {
  tokens = 0;
  #stateBytes: number | null = null;
  #first = 0;
  #last = 0;
  count(stateBytes: number | null): void {
    this.#last = performance.now();
    if (this.tokens === 0) this.#first = this.#last;
    this.tokens += 1;
    this.#stateBytes = stateBytes;
  }
  reading(): Pick<Piece, 'tokens' | 'tokensPerSecond' | 'stateBytes'> {
    const seconds = (this.#last - this.#first) / 1000;
    return {
      tokens: this.tokens,
      tokensPerSecond: this.tokens > 1 && seconds > 0 ? (this.tokens - 1) / seconds : null,
      stateBytes: this.#stateBytes,
    };
  }
}

/** Native kernels answer without a turn of the event loop; this gives it one often enough to hear that the lab is gone. */
function turns(): () => Promise<void> | undefined {
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

/** @throws SpecError for a run whose task has no text to write, or that fills in hidden tokens. */
export function refuseOtherTasks({
  task,
  objective,
}: Pick<RunSpec, 'task'> & Partial<Pick<RunSpec, 'objective'>>): void {
  const kind = tasks.get(task.id)?.kind;
  if (kind !== 'text')
    throw new SpecError([
      {
        path: 'run.task.id',
        message: `the run learns ${JSON.stringify(task.id)}, which has no text to go on with`,
        hint: 'take a run that was trained on a text',
      },
    ]);
  if (objective?.kind === 'masked')
    throw new SpecError([
      {
        path: 'run.objective.kind',
        message: 'the run learns to fill in hidden tokens, so it can not write on from a prompt',
        hint: 'its samples show what it fills in; to write on, take a run that predicts the next token',
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
function idsOf(prompt: string, { encode, decode }: TaskData): number[] {
  const lacks = (text: string) => decode(encode(text)) !== text;
  if (prompt === '') return lacks(NEW_LINE) ? [] : encode(NEW_LINE);
  const missing = [...new Set(prompt)].filter(lacks);
  if (missing.length === 0) return encode(prompt);
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
