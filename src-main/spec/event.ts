// What a run says while it trains: the only record of it, appended to `events.jsonl`, from which the store can be rebuilt.
import type { DeviceId } from './run';

/** How a run stands. `queued` is the supervisor's; the rest follow from the run's events and its worker's life. */
export const STATUSES = [
  'queued',
  'starting',
  'running',
  'paused',
  'finished',
  'stopped',
  'failed',
  'interrupted',
] as const;
export type RunStatus = (typeof STATUSES)[number];
/** No worker is at work on a run in one of these. */
export const isOver = (status: RunStatus): boolean => ['finished', 'stopped', 'failed', 'interrupted'].includes(status);

/** What the built model is and what it runs on, said once a start. */
export interface BuiltFacts {
  parameters: number;
  /** FLOPs of one training step, forward and backward, multiply-add = 2. */
  stepFlops: number;
  /** Bytes of decode state a sequence at the task's length. */
  stateBytes: number;
  tokensPerStep: number;
  device: DeviceId;
  /** e.g. `avx512`, or the adapter's name. */
  deviceDetail: string;
  threads: number;
  precision: 'float32' | 'bfloat16';
  /** Hash of the kernels' sources, so that measured speed can be told apart by version. */
  kernelVersion: string;
  /** Which calls go to reference compositions, and why; empty if all are fused. */
  fallbacks: string[];
}

/** A token that the model filled in: its place in the text, in UTF-16 units, and what stands there in truth. */
export interface Fill {
  at: number;
  length: number;
  due: string;
}

export type RunEventBody =
  /** A worker took the run up: first start, or a resume from the checkpoint at `step`. */
  | { kind: 'started'; step: number; pid: number; version: string; resumed: boolean }
  | { kind: 'built'; step: number; facts: BuiltFacts }
  | { kind: 'state'; step: number; status: 'running' | 'paused' }
  /** After `step` updates, `tokens` tokens and `seconds` seconds of training. Not-a-number is null. */
  | { kind: 'metric'; step: number; tokens: number; seconds: number; values: Record<string, number | null> }
  | { kind: 'evaluation'; step: number; tokens: number; seconds: number; values: Record<string, number | null> }
  /** `text` goes on from `prompt`; with `fills` it is `prompt` itself with its hidden tokens filled in. */
  | { kind: 'sample'; step: number; prompt: string; text: string; temperature: number; fills?: Fill[] }
  | { kind: 'load'; step: number; cpuPercent: number; rssBytes: number; tensorBytes: number; tensors: number }
  | { kind: 'checkpoint'; step: number; file: string; sizeBytes: number; final: boolean }
  /** Something that the user should know and that did not stop the run. */
  | { kind: 'warning'; step: number; code: string; message: string }
  /** The last event of a stretch of work. `why` is a sentence for the user. */
  | { kind: 'ended'; step: number; status: 'finished' | 'stopped' | 'failed' | 'interrupted'; why: string };

/** `seq` counts from 1 without gaps, so a reader can ask for all that came after; `at` is milliseconds since 1970. */
export type RunEvent = { seq: number; at: number } & RunEventBody;

/**
 * The names of metrics, used as they are from the log to the chart:
 * `loss/train`, `loss/validation` (nats a graded token), `accuracy/validation` (share of graded tokens), `lr`, `grad_norm`,
 * `tokens_per_s`, `step_ms`, `loss/validation[kv=8]` for a slice.
 */
export const metricTitle = (name: string): string => name.replace('/', ' ').replaceAll('_', ' ');
/** What stands in the brackets of a metric's name: `kv=8`; null for one of all rows. */
export const sliceOf = (name: string): string | null => /\[(.*)\]$/.exec(name)?.[1] ?? null;
