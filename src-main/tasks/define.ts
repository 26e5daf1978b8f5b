// What a task is: its card, its presets, and the maker of its data.
import type { TaskCard } from '../spec/card';
import type { Options, ValuesOf } from '../spec/options';

export type Split = 'train' | 'validation';

/** `size` sequences of `tokens` tokens, row-major `[size, tokens]`. */
export interface Batch {
  size: number;
  /** Length T of each row; a task with a length knob may differ from batch to batch. */
  tokens: number;
  inputs: Int32Array;
  /** `targets[b, t]` is what position t has to say: already aligned, no further shift. */
  targets: Int32Array;
  /** 1 where the loss and the metrics count; null if every position does. */
  mask: Uint8Array | null;
  /** Slice keys of each row, e.g. `{ kv: 8, len: 64 }`: metrics are kept for each value of each key too. */
  tags?: readonly Readonly<Record<string, number>>[];
}

/** A task made: batches as a pure function of (task, options, seed, split, index). */
export interface TaskData {
  /** Ids run from 0 to `vocabulary - 1`. */
  vocabulary: number;
  /** Id that stands for a hidden token; only where tokens are hidden. */
  maskToken?: number;
  /** Longest row T of any batch, of either split. */
  tokens: number;
  /**
   * Batch `index` (from 0) of a split. Training batches differ with the index for ever; validation batches are fixed
   * (no seed reaches them where the source is a text) and `index` runs over as many as the caller wants.
   */
  batch(split: Split, index: number, size: number): Batch;
  /** Validation batches come in rounds of this many, one for each setting of the task; an evaluation takes whole rounds. */
  round: number;
  /** Tokens of each split; null where the task makes fresh rows without end. */
  sizes: Readonly<Record<Split, number | null>>;
  /** Ids of a text; what the vocabulary lacks becomes its stand-in, if it has one. */
  encode(text: string): number[];
  /** Text of ids, as a person reads it. */
  decode(ids: ArrayLike<number>): string;
  /** Ids to continue when the run names no prompt; undefined where a continuation means nothing, then no samples are drawn. */
  prompt?: readonly number[];
  /** Hash of the data or of all that it is made from: a run that goes on with another one is told so. */
  fingerprint: string;
  /** Training rows drawn anew so far, because the validation rows hold them already. */
  redraws?(): number;
  /** Reference levels of metrics, drawn as lines: `{ 'loss of a uniform guess': 5.55 }`. */
  levels: Readonly<Record<string, number>>;
}

export interface TaskContext {
  /** Fixes what the task draws. */
  seed: number;
  /** The lab folder, where the user's texts are; undefined where there is none (a task that wants it says so). */
  lab?: string;
}

export interface TaskDefinition<S extends Options = Options> {
  /** The folder's name. */
  id: string;
  kind: TaskCard['kind'];
  title: string;
  /** Part of what seeds the data: raise it when the same options make other data. */
  version: number;
  options: S;
  presets: Record<string, Partial<ValuesOf<S>>>;
  headline: TaskCard['headline'];
  /**
   * Makes the data from completed options.
   * @throws SpecError with paths below `run.task.options` for options that do not go together, or a source that does not fit.
   */
  make(options: ValuesOf<S>, context: TaskContext): TaskData;
}

/** Any task, when its options' types do not matter. */
// biome-ignore lint/suspicious/noExplicitAny: options are checked against the task's own description before use.
export type AnyTask = TaskDefinition<any>;

export const defineTask = <S extends Options>(task: TaskDefinition<S>): TaskDefinition<S> => task;
