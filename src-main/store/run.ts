// Runs in the store: their rows, how they stand, and the order of the queue.
import type { BuiltFacts, RunStatus } from '../spec/event';
import { isBlock, isRepeat, type Node } from '../spec/model';
import type { DeviceId, RunSpec } from '../spec/run';
import type { Store } from './open';

/** A run as its row has it. */
export interface RunRecord {
  key: number;
  id: string;
  name: string;
  spec: RunSpec;
  task: string;
  blocks: string;
  device: DeviceId;
  seed: number;
  steps: number;
  status: RunStatus;
  why: string | null;
  step: number;
  tokens: number;
  seconds: number;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  heartbeatAt: number | null;
  ownerPid: number | null;
  /** Order among the queued; only comparisons mean something. */
  queue: number | null;
  facts: BuiltFacts | null;
  speed: { median: number; low: number; high: number } | null;
  sizeBytes: number | null;
  deletedAt: number | null;
  seq: number;
  logOffset: number;
}

interface Row {
  key: number;
  id: string;
  name: string;
  spec: string;
  task: string;
  blocks: string;
  device: DeviceId;
  seed: number;
  steps: number;
  status: RunStatus;
  why: string | null;
  step: number;
  tokens: number;
  seconds: number;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
  heartbeat_at: number | null;
  owner_pid: number | null;
  queue: number | null;
  facts: string | null;
  speed_median: number | null;
  speed_low: number | null;
  speed_high: number | null;
  size_bytes: number | null;
  deleted_at: number | null;
  seq: number;
  log_offset: number;
}

const COLUMNS = `key, id, name, spec, task, blocks, device, seed, steps, status, why, step, tokens, seconds, created_at,
  started_at, ended_at, heartbeat_at, owner_pid, queue, facts, speed_median, speed_low, speed_high, size_bytes,
  deleted_at, seq, log_offset`;

const record = (row: Row): RunRecord => ({
  key: row.key,
  id: row.id,
  name: row.name,
  spec: JSON.parse(row.spec) as RunSpec,
  task: row.task,
  blocks: row.blocks,
  device: row.device,
  seed: row.seed,
  steps: row.steps,
  status: row.status,
  why: row.why,
  step: row.step,
  tokens: row.tokens,
  seconds: row.seconds,
  createdAt: row.created_at,
  startedAt: row.started_at,
  endedAt: row.ended_at,
  heartbeatAt: row.heartbeat_at,
  ownerPid: row.owner_pid,
  queue: row.queue,
  facts: row.facts === null ? null : (JSON.parse(row.facts) as BuiltFacts),
  speed:
    row.speed_median === null
      ? null
      : { median: row.speed_median, low: row.speed_low ?? row.speed_median, high: row.speed_high ?? row.speed_median },
  sizeBytes: row.size_bytes,
  deletedAt: row.deleted_at,
  seq: row.seq,
  logOffset: row.log_offset,
});

export interface NewRun {
  id: string;
  name: string;
  spec: RunSpec;
  createdAt: number;
  status: RunStatus;
  why?: string | null;
  deletedAt?: number | null;
}

/** Adds a run; a queued one goes to the end of the queue. */
export function insertRun(store: Store, run: NewRun): RunRecord {
  const { spec } = run;
  store
    .sql(
      `INSERT INTO run (id, name, spec, task, blocks, device, seed, steps, status, why, created_at, deleted_at,
         queue)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
         CASE WHEN ? = 'queued' THEN (SELECT coalesce(max(queue), 0) + 1 FROM run WHERE queue IS NOT NULL) END)`,
    )
    .run(
      run.id,
      run.name,
      JSON.stringify(spec),
      spec.task.id,
      foldBlocks(spec.model.layers),
      spec.device,
      spec.seed,
      spec.budget.steps,
      run.status,
      run.why ?? null,
      run.createdAt,
      run.deletedAt ?? null,
      run.status,
    );
  return getRun(store, run.id)!;
}

export function getRun(store: Store, id: string): RunRecord | undefined {
  const row = store.sql<Row>(`SELECT ${COLUMNS} FROM run WHERE id = ?`).get(id);
  return row && record(row);
}

/** Every run's id, those in the trash too. */
export const runIds = (store: Store): string[] =>
  store
    .sql<{ id: string }>('SELECT id FROM run')
    .all()
    .map(({ id }) => id);

/** How far the log of every run has been read. */
export const logOffsets = (store: Store): { id: string; offset: number }[] =>
  store.sql<{ id: string; offset: number }>('SELECT id, log_offset AS offset FROM run').all();

export const LIST_RUNS = `SELECT ${COLUMNS} FROM run WHERE deleted_at IS NULL ORDER BY created_at DESC, key DESC`;
const LIST_DELETED = `SELECT ${COLUMNS} FROM run WHERE deleted_at > 0 ORDER BY deleted_at DESC`;

/** Runs outside the trash, newest first; or those in it. */
export const listRuns = (store: Store, { deleted = false } = {}): RunRecord[] =>
  store
    .sql<Row>(deleted ? LIST_DELETED : LIST_RUNS)
    .all()
    .map(record);

/** Runs that a worker should be at work on. */
export const activeRuns = (store: Store): RunRecord[] =>
  store.sql<Row>(`SELECT ${COLUMNS} FROM run WHERE status IN ('starting', 'running', 'paused')`).all().map(record);

export const QUEUE = `SELECT id FROM run WHERE queue IS NOT NULL ORDER BY queue`;

/** Ids of the queued runs, in the order of their start. */
export const queued = (store: Store): string[] =>
  store
    .sql<{ id: string }>(QUEUE)
    .all()
    .map(({ id }) => id);

/** Puts the queue into the given order, from 1. */
export function setQueue(store: Store, ids: readonly string[]): void {
  store.write(() => {
    for (const [i, id] of ids.entries()) store.sql('UPDATE run SET queue = ? WHERE id = ?').run(i + 1, id);
  });
}

/** How a run stands, as its supervisor sees it. A queued run joins the end of the queue; any other leaves it. */
export function setStatus(
  store: Store,
  id: string,
  status: RunStatus,
  {
    why = null,
    endedAt = null,
    pid = null,
  }: { why?: string | null; endedAt?: number | null; pid?: number | null } = {},
): void {
  store
    .sql(
      `UPDATE run SET status = ?, why = ?, ended_at = ?, owner_pid = ?,
         queue = CASE WHEN ? = 'queued'
           THEN coalesce(queue, (SELECT coalesce(max(queue), 0) + 1 FROM run WHERE queue IS NOT NULL)) END
       WHERE id = ?`,
    )
    .run(status, why, endedAt, pid, status, id);
}

/** Takes a run's place in the queue away; it stays queued, and `setStatus` gives it a new place. */
export const leaveQueue = (store: Store, id: string): void => {
  store.sql('UPDATE run SET queue = NULL WHERE id = ?').run(id);
};

export const setHeartbeat = (store: Store, id: string, at: number, pid: number): void => {
  store.sql('UPDATE run SET heartbeat_at = ?, owner_pid = ? WHERE id = ?').run(at, pid, id);
};
export const setName = (store: Store, id: string, name: string): void => {
  store.sql('UPDATE run SET name = ? WHERE id = ?').run(name, id);
};
export const setSize = (store: Store, id: string, sizeBytes: number): void => {
  store.sql('UPDATE run SET size_bytes = ? WHERE id = ?').run(sizeBytes, id);
};
export const setDeleted = (store: Store, id: string, at: number | null): void => {
  store.sql('UPDATE run SET deleted_at = ? WHERE id = ?').run(at, id);
};
/** Forgets the run; its points go with it. */
export const forgetRun = (store: Store, id: string): void => {
  store.sql('DELETE FROM run WHERE id = ?').run(id);
};

/** The stack in one line: equal neighbours folded, `softmax_attention + gated_mlp ×4`. */
export function foldBlocks(layers: readonly Node[]): string {
  const parts = layers.map((node) => {
    if (isBlock(node)) return { text: node.block, times: 1 };
    if (isRepeat(node)) return { text: foldBlocks(node.layers), times: node.repeat };
    return { text: `(${node.parallel.map(foldBlocks).join(' ∥ ')})`, times: 1 };
  });
  const runs: typeof parts = [];
  for (const part of parts) {
    const before = runs.at(-1);
    if (before && before.text === part.text) before.times += part.times;
    else runs.push({ ...part });
  }
  const several = runs.length > 1;
  return runs
    .map(({ text, times }) =>
      times === 1 ? text : several && text.includes(' ') ? `(${text}) ×${times}` : `${text} ×${times}`,
    )
    .join(' + ');
}
