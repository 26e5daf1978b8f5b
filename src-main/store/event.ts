// What a run said besides numbers: warnings, samples and checkpoints.
import type { Fill } from '../spec/event';
import type { Stretch } from './metric';
import type { Store } from './open';

export interface Warning {
  step: number;
  code: string;
  message: string;
}
export interface Sample {
  step: number;
  prompt: string;
  text: string;
  /** Absent where the text goes on from the prompt. */
  fills?: Fill[];
}
export interface CheckpointRow {
  step: number;
  file: string;
  sizeBytes: number;
  final: boolean;
}

export function addWarning(store: Store, run: number, seq: number, { step, code, message }: Warning): void {
  store
    .sql('INSERT OR REPLACE INTO warning (run, seq, step, code, message) VALUES (?, ?, ?, ?, ?)')
    .run(run, seq, step, code, message);
}

/** Samples of an earlier stretch that this one has come past give way to it, as points do. */
export function addSample(store: Store, run: number, seq: number, sample: Sample, stretch: Stretch): void {
  const { step, prompt, text, fills } = sample;
  if (stretch.seq > 1)
    store
      .sql('DELETE FROM sample WHERE run = ? AND seq < ? AND step > ? AND step <= ?')
      .run(run, stretch.seq, stretch.step, step);
  store
    .sql('INSERT OR REPLACE INTO sample (run, seq, step, prompt, text, fills) VALUES (?, ?, ?, ?, ?, ?)')
    .run(run, seq, step, prompt, text, fills ? JSON.stringify(fills) : null);
}

export function addCheckpoint(store: Store, run: number, seq: number, checkpoint: CheckpointRow): void {
  const { step, file, sizeBytes, final } = checkpoint;
  store
    .sql('INSERT OR REPLACE INTO checkpoint (run, step, seq, file, size_bytes, final) VALUES (?, ?, ?, ?, ?, ?)')
    .run(run, step, seq, file, sizeBytes, final ? 1 : 0);
}

export const warnings = (store: Store, run: number): Warning[] =>
  store.sql<Warning>('SELECT step, code, message FROM warning WHERE run = ? ORDER BY seq').all(run);

export const samples = (store: Store, run: number): Sample[] =>
  store
    .sql<Omit<Sample, 'fills'> & { fills: string | null }>(
      'SELECT step, prompt, text, fills FROM sample WHERE run = ? ORDER BY seq',
    )
    .all(run)
    .map(({ fills, ...rest }) => ({ ...rest, ...(fills !== null && { fills: JSON.parse(fills) as Fill[] }) }));

/** Every checkpoint that was reported, oldest first; the worker removes older files, so a file may be gone. */
export const checkpoints = (store: Store, run: number): CheckpointRow[] =>
  store
    .sql<Omit<CheckpointRow, 'final'> & { final: number }>(
      'SELECT step, file, size_bytes AS sizeBytes, final FROM checkpoint WHERE run = ? ORDER BY step',
    )
    .all(run)
    .map((row) => ({ ...row, final: row.final === 1 }));

/** The newest event before or at `seq` whose place in the log is known: reading from `offset` starts with the next event. */
export const logMark = (store: Store, run: number, seq: number): { seq: number; offset: number } =>
  store
    .sql<{ seq: number; offset: number }>(
      'SELECT seq, log_offset AS offset FROM log_mark WHERE run = ? AND seq <= ? ORDER BY seq DESC LIMIT 1',
    )
    .get(run, seq) ?? { seq: 0, offset: 0 };
