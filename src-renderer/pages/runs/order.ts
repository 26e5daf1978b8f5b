// The order of the list, and the values that its columns show.
import type { RunRow } from '../../../src-main/rpc/contract';

const rank = ({ status }: RunRow): number =>
  status === 'running' || status === 'starting' || status === 'paused' ? 0 : status === 'queued' ? 1 : 2;

/** What is at work first, then the queue in its order, then the rest from the newest on. */
export const inOrder = (rows: readonly RunRow[]): RunRow[] =>
  [...rows].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (rank(a) === 1 ? (a.queue ?? 1e9) - (b.queue ?? 1e9) : 0) ||
      b.createdAt - a.createdAt ||
      (a.id < b.id ? 1 : -1),
  );

/** Validation loss, or training loss where none was measured yet. */
export function lossOf(run: RunRow, from: 'last' | 'best'): { value: number | null; training: boolean } | null {
  for (const name of ['loss/validation', 'loss/train'] as const)
    if (name in run[from]) return { value: run[from][name] ?? null, training: name === 'loss/train' };
  return null;
}

/** For sorting: what is missing comes last, whichever way up. */
export const byNumber = (read: (run: RunRow) => number | null | undefined) => (a: RunRow, b: RunRow) => {
  const [x, y] = [read(a), read(b)];
  return (x ?? Number.POSITIVE_INFINITY) === (y ?? Number.POSITIVE_INFINITY)
    ? 0
    : (x ?? Number.POSITIVE_INFINITY) - (y ?? Number.POSITIVE_INFINITY);
};
