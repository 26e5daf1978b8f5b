// RunEvents to rows: a batch and the place in the log it reaches are one transaction, so the store is never between two.
import type { RunEvent, RunStatus } from '../spec/event';
import { addCheckpoint, addSample, addWarning } from './event';
import { addPoint, type Stretch, speedOf } from './metric';
import type { Store } from './open';

/** Events between two marks of the log. */
const MARK_EVERY = 2000;

interface State {
  key: number;
  status: RunStatus;
  why: string | null;
  step: number;
  tokens: number;
  seconds: number;
  started_at: number | null;
  ended_at: number | null;
  owner_pid: number | null;
  queue: number | null;
  facts: string | null;
  size_bytes: number | null;
  seq: number;
  log_offset: number;
  stretch_seq: number;
  stretch_step: number;
}

export interface Projected {
  /** Newest event that the store has now. */
  seq: number;
  /** How many of the batch were new. */
  taken: number;
  /** Any of them was a number for a chart. */
  metrics: boolean;
}

/**
 * Applies a batch of events of run `id`, in order, and notes that its log has been read up to byte `offset`.
 * Events that the store has are passed over, so a batch may come twice.
 * @throws Error for an unknown run; SqliteError when the disk refuses, with nothing applied.
 */
export function project(store: Store, id: string, events: readonly RunEvent[], offset: number): Projected {
  return store.write(() => {
    const state = store
      .sql<State>(
        `SELECT key, status, why, step, tokens, seconds, started_at, ended_at, owner_pid, queue, facts, size_bytes, seq,
           log_offset, stretch_seq, stretch_step FROM run WHERE id = ?`,
      )
      .get(id);
    if (!state) throw new Error(`internal: events came for run ${id}, which the store does not know`);
    let taken = 0;
    let metrics = false;
    for (const event of events) {
      if (event.seq <= state.seq) continue;
      apply(store, state, event);
      state.seq = event.seq;
      taken += 1;
      metrics ||= event.kind === 'metric' || event.kind === 'evaluation';
    }
    const reached = Math.max(offset, state.log_offset);
    save(store, state, reached);
    if (metrics) saveSpeed(store, state.key);
    mark(store, state.key, state.seq, reached);
    return { seq: state.seq, taken, metrics };
  });
}

function apply(store: Store, state: State, event: RunEvent): void {
  const stretch: Stretch = { seq: state.stretch_seq, step: state.stretch_step };
  state.step = event.step;
  switch (event.kind) {
    case 'started':
      state.status = 'starting';
      state.why = null;
      state.started_at ??= Math.round(event.at);
      state.ended_at = null;
      state.owner_pid = event.pid;
      state.queue = null;
      state.stretch_seq = event.seq;
      state.stretch_step = event.step;
      return;
    case 'built':
      state.facts = JSON.stringify(event.facts);
      return;
    case 'state':
      state.status = event.status;
      return;
    case 'metric':
    case 'evaluation':
      state.tokens = event.tokens;
      state.seconds = event.seconds;
      for (const [name, value] of Object.entries(event.values))
        addPoint(store, state.key, name, { ...event, value }, event.seq, stretch);
      return;
    case 'sample':
      addSample(store, state.key, event.seq, event, stretch);
      return;
    case 'load':
      return;
    case 'checkpoint':
      addCheckpoint(store, state.key, event.seq, { ...event, sizeBytes: Math.round(event.sizeBytes) });
      return;
    case 'warning':
      addWarning(store, state.key, event.seq, event);
      return;
    case 'ended':
      state.status = event.status;
      state.why = event.why;
      state.ended_at = Math.round(event.at);
      state.owner_pid = null;
      return;
    default:
      event satisfies never;
  }
}

function save(store: Store, state: State, offset: number): void {
  store
    .sql(
      `UPDATE run SET status = ?, why = ?, step = ?, tokens = ?, seconds = ?, started_at = ?, ended_at = ?, owner_pid = ?,
         queue = ?, facts = ?, seq = ?, log_offset = ?, stretch_seq = ?, stretch_step = ? WHERE key = ?`,
    )
    .run(
      state.status,
      state.why,
      state.step,
      state.tokens,
      state.seconds,
      state.started_at,
      state.ended_at,
      state.owner_pid,
      state.queue,
      state.facts,
      state.seq,
      offset,
      state.stretch_seq,
      state.stretch_step,
      state.key,
    );
}

function saveSpeed(store: Store, key: number): void {
  const speed = speedOf(store, key);
  store
    .sql('UPDATE run SET speed_median = ?, speed_low = ?, speed_high = ? WHERE key = ?')
    .run(speed?.median ?? null, speed?.low ?? null, speed?.high ?? null, key);
}

function mark(store: Store, key: number, seq: number, offset: number): void {
  const newest = store.sql<{ seq: number | null }>('SELECT max(seq) AS seq FROM log_mark WHERE run = ?').get(key);
  if (seq - (newest?.seq ?? 0) < MARK_EVERY) return;
  store.sql('INSERT OR REPLACE INTO log_mark (run, seq, log_offset) VALUES (?, ?, ?)').run(key, seq, offset);
}

/** Forgets all that the log of a run said, so that it can be read anew from its first byte. */
export function unproject(store: Store, id: string): void {
  store.write(() => {
    const key = store.sql<{ key: number }>('SELECT key FROM run WHERE id = ?').get(id)?.key;
    if (key === undefined) return;
    for (const table of ['metric_series', 'warning', 'sample', 'checkpoint', 'log_mark'])
      store.sql(`DELETE FROM ${table} WHERE run = ?`).run(key);
    store
      .sql(
        `UPDATE run SET step = 0, tokens = 0, seconds = 0, started_at = NULL, ended_at = NULL, facts = NULL, seq = 0,
           speed_median = NULL, speed_low = NULL, speed_high = NULL, log_offset = 0, stretch_seq = 0, stretch_step = 0
         WHERE key = ?`,
      )
      .run(key);
  });
}
