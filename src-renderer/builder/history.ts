// Undo and redo over immutable states: nothing is reversed, the earlier state itself comes back.

export interface History<T> {
  past: readonly T[];
  present: T;
  future: readonly T[];
  /** Edits with the same tag close to each other are one step, e.g. typing a number. */
  tag: string | null;
  atMs: number;
}

const DEPTH = 1000;
const TOGETHER_MS = 800;

export const begin = <T>(present: T): History<T> => ({ past: [], present, future: [], tag: null, atMs: 0 });

/** Makes `next` the present; what was undone is forgotten. */
export function record<T>(
  history: History<T>,
  next: T,
  { tag = null, atMs = 0 }: { tag?: string | null; atMs?: number } = {},
): History<T> {
  if (next === history.present) return history;
  const joins = tag !== null && tag === history.tag && atMs - history.atMs < TOGETHER_MS && history.past.length > 0;
  const past = joins ? history.past : [...history.past.slice(-(DEPTH - 1)), history.present];
  return { past, present: next, future: [], tag, atMs };
}

/** Changes the present without a step of its own, e.g. the selection. */
export const amend = <T>(history: History<T>, present: T): History<T> => ({ ...history, present });

export function undo<T>(history: History<T>): History<T> {
  const before = history.past.at(-1);
  if (before === undefined) return history;
  return {
    past: history.past.slice(0, -1),
    present: before,
    future: [history.present, ...history.future],
    tag: null,
    atMs: 0,
  };
}

export function redo<T>(history: History<T>): History<T> {
  const [after, ...future] = history.future;
  if (after === undefined) return history;
  return { past: [...history.past, history.present], present: after, future, tag: null, atMs: 0 };
}
