// Decisions about runs and their workers, as pure functions.
import { constants } from 'node:os';
import type { RunStatus } from '../spec/event';
import type { Heartbeat } from './folder';

/** A worker rewrites its heartbeat once a second; after this long without one it is no proof of life. */
export const STALE_MS = 30_000;
/** Start times from different clocks of one machine differ by up to this much. */
const START_TOLERANCE_MS = 3000;

export interface ProcessFacts {
  exists: boolean;
  /** Milliseconds since 1970; null where the platform does not tell. */
  start: number | null;
}

/** Whether the worker that wrote this heartbeat is still at work. */
export function isAtWork(heartbeat: Heartbeat | undefined, owner: ProcessFacts, now: number): boolean {
  if (!heartbeat || !owner.exists) return false;
  const fresh = Math.abs(now - heartbeat.at) < STALE_MS;
  if (owner.start === null || heartbeat.startTime === null) return fresh;
  // A frozen worker (a suspended machine) keeps its start time and may go on: it is at work, however old its heartbeat.
  return Math.abs(owner.start - heartbeat.startTime) <= START_TOLERANCE_MS;
}

/** Signals that a program earns by its own fault. */
const FAULTS = new Set(['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGABRT', 'SIGTRAP']);

/** What to say of a worker that went without a last word. */
/** Exit code of a worker whose last events the disk refused for as long as it could wait. */
const DISK_REFUSED = 3;

export function deathOf(
  code: number | null,
  signal: NodeJS.Signals | null,
  lastLines: string,
): { status: Extract<RunStatus, 'failed' | 'interrupted'>; why: string } {
  const said = lastLines.trim();
  const quote = said ? ` Its last words: ${said}` : '';
  // A shell or a container's init reports a signal as 128 + its number.
  const hidden = code !== null && code > 128 ? signalName(code - 128) : undefined;
  const by = signal ?? hidden;
  if (by && !FAULTS.has(by)) {
    const memory = by === 'SIGKILL' ? ' The system does so when memory runs out.' : '';
    return { status: 'interrupted', why: `The worker was ended by ${by} from outside.${memory}${quote}` };
  }
  if (by) return { status: 'failed', why: `The worker crashed with ${by}.${quote}` };
  if (code === DISK_REFUSED)
    return {
      status: 'interrupted',
      why: 'The disk took no events to the end, so the newest are lost. Free some space, then resume: it goes on from its newest checkpoint.',
    };
  return { status: 'failed', why: `The worker ended with exit code ${code} and without a last word.${quote}` };
}

const signalName = (number: number): string | undefined =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0];

/** What to say of a run whose worker is gone and was not ours to watch. */
export const LOST_OWNER =
  'Its worker is gone: the lab or the machine went down while it trained. Resume goes on from its newest checkpoint.';

/** Whether `resume` has something to go on with. */
export const isResumable = (status: RunStatus): boolean =>
  ['paused', 'interrupted', 'stopped', 'failed'].includes(status);

/** Runs at once: half of the cores, but at least one. */
export const atOnceByDefault = (cores: number): number => Math.max(1, Math.floor(cores / 2));

/** Threads of each of `together` runs that compute side by side, so that together they have no more than there are cores. */
export const threadsFor = (cores: number, together: number): number =>
  Math.max(1, Math.floor(cores / Math.max(1, together)));

/** A system error in words a user can act on; undefined for an error that is not the system's. */
export function systemTrouble(error: unknown, folder: string): string | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException;
  // Node's recursive mkdir tells of a file system that is read-only in this way.
  switch (code === 'ENOENT' && syscall === 'mkdir' ? 'EROFS' : code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'SQLITE_FULL':
      return `The disk that holds ${folder} is full, so nothing was written. Free some space and try again; what was there is unharmed.`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'SQLITE_READONLY':
    case 'SQLITE_PERM':
      return `The lab may not write to ${folder}. Give yourself the right to write there, or start the lab with --folder on another folder.`;
    case 'EMFILE':
    case 'ENFILE':
    case 'EAGAIN':
      return 'The system has no more files or processes to give. Close other programs, or run fewer models at once (Device page).';
    default:
      if (typeof code === 'string' && code.startsWith('SQLITE_CANTOPEN'))
        return `The lab can't make or open its files in ${folder} (${(error as Error).message}). See that it is a folder to which you may write, or start the lab with --folder on another one.`;
      return typeof code === 'string' && /^SQLITE_(IOERR|CORRUPT|NOTADB|BUSY)/.test(code)
        ? `The lab's store in ${folder} can't be used right now (${(error as Error).message}). The run folders keep everything; restart the lab, and the store is checked and rebuilt from them.`
        : undefined;
  }
}
