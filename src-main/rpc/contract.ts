// What the window may ask of main, and what it gets: the whole contract between the two, as types.
import type { Agreement, AgreementProgress } from '../spec/agreement';
import type { BlockCard, TaskCard } from '../spec/card';
import type { Causality } from '../spec/causality';
import type { DeviceInfo, DeviceTest } from '../spec/device';
import type { Problem } from '../spec/error';
import type { Fill, RunEvent, RunStatus } from '../spec/event';
import type { GapPart } from '../spec/gap';
import type { Inspection, ModelPreset } from '../spec/inspection';
import type { ModelSpec } from '../spec/model';
import type { DeviceId, ObjectiveDraft, ObjectiveKind, Precision, RunDraft, RunSpec } from '../spec/run';

export type { GapPart } from '../spec/gap';
export type { NodeFacts } from '../spec/inspection';
export type { Agreement, AgreementProgress, Causality, DeviceInfo, DeviceTest, Inspection, ModelPreset };

export interface SavedModel {
  id: string;
  name: string;
  model: ModelSpec;
  updatedAt: number;
}
/** A run as the list shows it. */
export interface RunRow {
  id: string;
  name: string;
  status: RunStatus;
  /** Why it ended, as a sentence; for a failed run the error. */
  why: string | null;
  /** While it is at work: what keeps its events from the disk, as a sentence. */
  trouble: string | null;
  step: number;
  steps: number;
  tokens: number;
  /** Seconds of training so far, and the estimate of what is left (null when unknown). */
  seconds: number;
  etaSeconds: number | null;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  heartbeatAt: number | null;
  ownerPid: number | null;
  /** Place in the queue, from 1; null when not queued. */
  queue: number | null;
  /** Newest value of each metric. */
  last: Record<string, number | null>;
  /** Lowest (loss) or highest (accuracy) value so far of each metric. */
  best: Record<string, number | null>;
  parameters: number | null;
  stateBytes: number | null;
  device: DeviceId;
  deviceDetail: string | null;
  threads: number | null;
  tokensPerSecond: { median: number; low: number; high: number } | null;
  task: string;
  objective: ObjectiveKind;
  /** Blocks in order, repeats folded: `softmax_attention + gated_mlp ×4`. */
  blocks: string;
  seed: number;
  tokensPerStep: number | null;
  stepFlops: number | null;
  parent: { run: string; step: number } | null;
  resumable: boolean;
  checkpointStep: number | null;
  sizeBytes: number | null;
  deletedAt: number | null;
  /** Newest event the store has of this run. */
  seq: number;
}
export interface RunDetail extends RunRow {
  spec: RunSpec;
  folder: string;
  warnings: { step: number; code: string; message: string }[];
  samples: { step: number; prompt: string; text: string; fills?: Fill[] }[];
  checkpoints: { step: number; file: string; sizeBytes: number; final: boolean }[];
}

/** Points of one metric of one run. Where `buckets` cut it down, every bucket gave its lowest and highest point, so no peak is lost. */
export interface Series {
  run: string;
  name: string;
  step: number[];
  tokens: number[];
  /** Seconds of training. */
  seconds: number[];
  value: (number | null)[];
  /** How many raw points the range holds; more than `value.length` means that this is a min/max picture of them. */
  raw: number;
  /** Ask with this as `after` to get only what is new. */
  cursor: number;
}

export interface AppInfo {
  version: string;
  host: 'electron' | 'serve' | 'cli';
  folder: string;
  node: string;
  electron: string | null;
  platform: string;
  cores: number;
  memoryBytes: number;
  diskFreeBytes: number;
}
export interface TextFile {
  id: string;
  name: string;
  bytes: number;
  addedAt: number;
}
export interface TaskPreview {
  /** Rows of tokens as text, with the graded ones marked. */
  rows: { tokens: string[]; graded: boolean[]; targets: string[] }[];
  vocabulary: number;
  /** Longest row T of any batch; where left out, the rows above are whole and tell it. */
  tokens?: number;
  tokensTrain: number | null;
  tokensValidation: number | null;
  problems: Problem[];
  /** Chance level of the headline metric and the like, drawn as lines: `{ 'uniform loss': 5.55 }`. */
  levels: Record<string, number>;
}

/** What a trained run is asked to write. */
export interface GenerationRequest {
  /** Id of a run that has a checkpoint. */
  run: string;
  /** Text to go on from; empty: a new line. */
  prompt: string;
  /** Tokens to add. */
  length: number;
  /** 0 always takes the likeliest token. */
  temperature: number;
  /** Chooses among this many likeliest tokens; 0: all. */
  topK: number;
  /** Chooses among the likeliest tokens that together hold this share. */
  topP: number;
  seed: number;
  /** Default: the one that the run was trained on. */
  device?: DeviceId;
  /** What products round to, and what weights and caches are kept in on `cpu`. Default: as the run was trained. */
  precision?: Precision;
}
/** What a trained run that learned masked tokens is asked to fill in. */
export interface FillRequest extends Omit<GenerationRequest, 'prompt' | 'length'> {
  /** Text with gaps: each `_` is one token to fill in, `\\_` an underscore. */
  prompt: string;
  /** In how many passes the gaps are filled, those that the model is surest of first; 1: all at once. */
  passes: number;
}
/** Text as it comes. */
export interface GenerationPiece {
  id: string;
  /** What is new since the piece before. */
  text: string;
  /** Where gaps are filled in: the whole text as it stands, in place of `text`. */
  parts?: GapPart[];
  /** Tokens written so far. */
  tokens: number;
  /** Pace since the first token; null until there are two. */
  tokensPerSecond: number | null;
  /** What the model keeps between tokens, as it is now; null before the first token. */
  stateBytes: number | null;
  /** What products round to; null before the model is there. */
  precision: Precision | null;
  /** No more pieces come: the text has its length, was cancelled, or `error` says what went wrong. */
  done: boolean;
  error?: string;
}

/** Each method takes one plain object and answers with plain data; errors carry `problems` where a spec was wrong. */
export interface Api {
  app: {
    info(input: Record<string, never>): AppInfo;
  };
  settings: {
    get(input: Record<string, never>): Record<string, unknown>;
    set(input: { key: string; value: unknown }): void;
  };
  blocks: { list(input: Record<string, never>): BlockCard[] };
  tasks: {
    list(input: Record<string, never>): TaskCard[];
    /** Hidden tokens of a masked objective read as `_`; default: the next token is to be predicted. */
    preview(input: {
      id: string;
      options: Record<string, unknown>;
      rows: number;
      objective?: ObjectiveDraft;
    }): TaskPreview;
  };
  texts: {
    list(input: Record<string, never>): TextFile[];
    /** Adds a text of the user's; a folder comes as its files, joined in order of their names. */
    add(input: { name: string; files: { name: string; text: string }[] }): TextFile;
    remove(input: { id: string }): void;
  };
  models: {
    /**
     * `tokens`: context length T; `vocabulary`: ids that the task uses; `objective`: what the model is to learn (`auto`: to fill in masked tokens
     * if a block looks at later ones; default the next token). Never throws for a wrong model: the problems are the answer.
     */
    inspect(input: {
      model: unknown;
      tokens: number;
      vocabulary: number;
      objective?: ObjectiveKind | 'auto';
    }): Inspection;
    /** Changes single tokens and looks whether earlier outputs move, in a process of its own; refused for a model with problems. */
    causality(input: { model: unknown; tokens: number; vocabulary: number }): Causality;
    presets(input: Record<string, never>): ModelPreset[];
    list(input: Record<string, never>): SavedModel[];
    save(input: { id?: string; name: string; model: ModelSpec }): SavedModel;
    remove(input: { id: string }): void;
    restore(input: { id: string }): void;
  };
  runs: {
    list(input: { deleted?: boolean }): RunRow[];
    get(input: { id: string }): RunDetail;
    /** Checks and queues; the supervisor starts them when there is room. */
    create(input: { runs: RunDraft[] }): RunRow[];
    /** Two small models on the bundled text, chosen to finish in under two minutes on two cores. */
    example(input: Record<string, never>): RunRow[];
    pause(input: { ids: string[] }): void;
    /** Goes on with paused and interrupted runs; an interrupted one starts from its newest checkpoint. */
    resume(input: { ids: string[] }): void;
    /** A paused run does exactly one more update. */
    step(input: { ids: string[] }): void;
    /** Ends a run in good order, with a checkpoint; a queued one leaves the queue. */
    stop(input: { ids: string[] }): void;
    rename(input: { id: string; name: string }): void;
    /** Moves to the trash; `restore` brings back. Folders in the trash are removed after 30 days. */
    remove(input: { ids: string[] }): void;
    restore(input: { ids: string[] }): void;
    /** Moves a queued run in front of another, or to the end. */
    reorder(input: { id: string; before: string | null }): void;
    /** `readings: false` leaves out the numbers of every step. */
    events(input: { id: string; after: number; limit: number; readings?: boolean }): RunEvent[];
    /** Raw points of all metrics as CSV. */
    csv(input: { ids: string[] }): string;
  };
  metrics: {
    names(input: { runs: string[] }): string[];
    /** `after` maps a run to the cursor that its last answer gave; left out, the whole range comes in at most `buckets` min/max pairs. */
    series(input: {
      runs: string[];
      names: string[];
      buckets: number;
      after?: Record<string, number>;
      from?: number;
      to?: number;
    }): Series[];
  };
  devices: {
    list(input: Record<string, never>): DeviceInfo[];
    test(input: { id: DeviceId }): DeviceTest;
  };
  /** How blocks agree with their published code. */
  agreements: {
    /** `tested`: the newest result of each block and device; `cases`: golden cases of each block that has any. */
    list(input: Record<string, never>): { tested: Agreement[]; cases: Record<string, number> };
    /** Compares blocks in a process of its own; progress comes as notices to the window that asked, results to all. */
    start(input: { blocks: string[]; device: DeviceId }): { id: string };
    cancel(input: { id: string }): void;
  };
  /** Texts of trained runs. Each is written by a process of its own, whose pieces come as notices to the window that asked, and which ends when that window leaves. */
  generations: {
    start(input: GenerationRequest): { id: string };
    /** Fills in the gaps of a text with a run that learned masked tokens. */
    fill(input: FillRequest): { id: string };
    /** Ends it at once; one that has ended already is left alone. */
    cancel(input: { id: string }): void;
  };
}

export type Noun = keyof Api;
/** As the window calls it: `client.runs.list({})`. */
export type Client = {
  [N in Noun]: {
    [M in keyof Api[N]]: Api[N][M] extends (input: infer I) => infer O ? (input: I) => Promise<O> : never;
  };
};
/** As main implements it; answers may come later. */
export type Implementation = {
  [N in Noun]: {
    [M in keyof Api[N]]: Api[N][M] extends (input: infer I) => infer O ? (input: I) => O | Promise<O> : never;
  };
};

/** Told to every window, which asks again with its cursor. */
export type LabNotice =
  | { kind: 'runs'; ids: string[] }
  | { kind: 'metrics'; run: string; seq: number }
  | { kind: 'models' }
  | { kind: 'texts' }
  | { kind: 'agreements' };
/** What main tells a window; pieces of a text and the progress of a comparison go to the one that asked for it. */
export type Notice =
  | LabNotice
  | ({ kind: 'generation' } & GenerationPiece)
  | { kind: 'agreement'; id: string; done: false; progress: AgreementProgress }
  /** The comparison has ended: whole, cancelled, or as `error` says. */
  | { kind: 'agreement'; id: string; done: true; error?: string };

/** On the wire (WebSocket text frames, or Electron IPC). */
export type Request = { id: number; noun: string; method: string; input: unknown };
export type Reply =
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: false; error: { name: string; message: string; problems?: Problem[] } };
export type Message = Reply | { notice: Notice };
