// Appends a run's events to `events.jsonl`: the only writer of that file.
import nodeFs, { constants } from 'node:fs';
import { join } from 'node:path';
import type { RunEvent, RunEventBody } from '../spec/event';
import { LOG_FILE, parseEvent } from './read';

/** The calls of node:fs that the log makes, so that a test can fill the disk. */
export type LogFs = Pick<
  typeof nodeFs,
  'openSync' | 'closeSync' | 'writeSync' | 'fsyncSync' | 'ftruncateSync' | 'fstatSync' | 'readSync'
>;

export interface RunLog {
  /** `seq` of the newest event, 0 in an empty log. */
  readonly lastSeq: number;
  /** The newest event of the log. */
  readonly last: RunEvent | undefined;
  /** Events that are in memory only, because the disk did not take them. */
  readonly pending: number;
  /**
   * Never throws for a full or failing disk: the event is then kept in memory and written when there is room; its `seq`
   * may grow until then.
   */
  append(body: RunEventBody): RunEvent;
  /** Tries to write what is pending; true if nothing is left. */
  flush(): boolean;
  /** Flushes and closes; true if every event is on disk. */
  close(): boolean;
}

export interface LogOptions {
  fs?: LogFs;
  now?: () => number;
  /** Called after events reached the file, with the newest `seq` in it. */
  wrote?: (seq: number) => void;
}

/** Events kept in memory while the disk does not take them; past that the oldest of the droppable kinds go. */
const MAX_PENDING = 20_000;
const NEWLINE = 10;
/** After a refused write, later appends only queue for this long, so that a full disk does not slow the training. */
const RETRY_MS = 1000;
/** These a chart can do without; all others are kept at any price. */
const droppable = new Set<RunEventBody['kind']>(['load', 'sample', 'metric']);
/**
 * These are flushed to the device (fsync) before `append` returns. A plain write already survives the death of this
 * process; fsync is for the death of the machine, and costs milliseconds, so it is kept for what marks a resting point.
 */
const durable = new Set<RunEventBody['kind']>(['checkpoint', 'ended']);

type Pending = { at: number; body: RunEventBody };

/**
 * Opens the log of a run folder, making it if need be. A last line without an end (the writer was killed while writing) is cut off.
 * @throws Error of node:fs if the file can't be opened or read.
 */
export function openLog(folder: string, { fs = nodeFs, now = Date.now, wrote = () => {} }: LogOptions = {}): RunLog {
  // Positions are given with every write: Windows does not let a file that was opened for appending be cut.
  const fd = fs.openSync(join(folder, LOG_FILE), constants.O_RDWR | constants.O_CREAT, 0o644);
  let { size, last, lastSeq } = tail(fs, fd);
  let torn = false;
  let unconfirmed: string | undefined;
  let pending: Pending[] = [];
  let dropped = 0;
  let trouble: { code: string; step: number; events: number } | undefined;
  let retryAt = 0;
  let open = true;

  /** Writes one whole line, or leaves the file as it was and throws. */
  const write = (event: RunEvent): void => {
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    const cut = () => {
      fs.ftruncateSync(fd, size);
      torn = false;
    };
    if (torn) cut();
    try {
      torn = true;
      const written = fs.writeSync(fd, line, 0, line.length, size);
      if (written < line.length) throw Object.assign(new Error('short write'), { code: 'ENOSPC' });
      torn = false;
    } catch (error) {
      // A part of the line may stand in the file; if it can't be cut off now, it is before the next write.
      try {
        cut();
      } catch {}
      throw error;
    }
    size += line.length;
    last = event;
    lastSeq = event.seq;
    if (!durable.has(event.kind)) return;
    try {
      fs.fsyncSync(fd);
    } catch (error) {
      // The line stands in the file: it must not be written again.
      unconfirmed ??= codeOf(error);
    }
  };

  const queue = (item: Pending): void => {
    pending.push(item);
    if (pending.length <= MAX_PENDING) return;
    const oldest = pending.findIndex(({ body }) => droppable.has(body.kind));
    if (oldest < 0) return;
    pending.splice(oldest, 1);
    dropped += 1;
  };

  /** Says what trouble there was, once writing works again. */
  const tell = (): void => {
    const warn = (code: string, message: string) =>
      write({ seq: lastSeq + 1, at: now(), kind: 'warning', step: last?.step ?? 0, code, message });
    if (trouble) {
      const { code, step, events } = trouble;
      const lost = dropped ? ` ${dropped} of the oldest readings did not fit into memory and are lost.` : '';
      warn(
        code === 'ENOSPC' ? 'disk_full' : 'disk_error',
        `The disk took no events from step ${step} on (${code}); ${events} waited in memory and are written now.${lost}`,
      );
      trouble = undefined;
      dropped = 0;
    }
    if (unconfirmed) {
      const code = unconfirmed;
      unconfirmed = undefined;
      warn(
        'disk_error',
        `The disk did not confirm the newest events (${code}): they are written, but may not survive a loss of power.`,
      );
    }
  };

  const flush = (): boolean => {
    let taken = 0;
    const started = lastSeq;
    try {
      for (const { at, body } of pending) {
        // Nothing may stand behind the last word of a stretch of work.
        if (body.kind === 'ended') tell();
        write({ seq: lastSeq + 1, at, ...body });
        taken += 1;
      }
      if (last?.kind !== 'ended') tell();
      pending = [];
    } catch (error) {
      pending = pending.slice(taken);
      trouble ??= { code: codeOf(error), step: pending[0]?.body.step ?? last?.step ?? 0, events: 0 };
      retryAt = now() + RETRY_MS;
    }
    if (lastSeq > started) wrote(lastSeq);
    return pending.length === 0 && !trouble;
  };

  return {
    get lastSeq() {
      return lastSeq + pending.length;
    },
    get last() {
      return last;
    },
    get pending() {
      return pending.length;
    },
    append(body) {
      const at = now();
      queue({ at, body });
      const event: RunEvent = { seq: lastSeq + pending.length, at, ...body };
      if (!trouble || at >= retryAt || durable.has(body.kind)) flush();
      if (trouble) trouble.events += 1;
      return event;
    },
    flush,
    close() {
      if (!open) return true;
      open = false;
      const whole = flush();
      fs.closeSync(fd);
      return whole;
    },
  };
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** Finds the end of the last whole line and the newest event, reading from the end only; cuts off what stands behind. */
function tail(fs: LogFs, fd: number): { size: number; last: RunEvent | undefined; lastSeq: number } {
  const { size } = fs.fstatSync(fd);
  for (let span = 64 * 1024; ; span *= 8) {
    const from = Math.max(0, size - span);
    const bytes = readAt(fs, fd, from, size - from);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    // Broken lines at the end took a number each, as far as their readers know.
    let broken = 0;
    for (let stop = end; stop > 0; broken++) {
      const start = stop > 1 ? bytes.lastIndexOf(NEWLINE, stop - 2) + 1 : 0;
      if (start === 0 && from > 0) break;
      const last = parseEvent(bytes.toString('utf8', start, stop - 1));
      if (last) return cut(from + end, last, last.seq + broken);
      stop = start;
    }
    if (from === 0) return cut(end, undefined, broken);
  }

  function cut(whole: number, last: RunEvent | undefined, lastSeq: number) {
    if (whole < size) fs.ftruncateSync(fd, whole);
    return { size: whole, last, lastSeq };
  }
}

function readAt(fs: LogFs, fd: number, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let have = 0; have < length; ) {
    const got = fs.readSync(fd, bytes, have, length - have, from + have);
    if (got === 0) throw new Error('the log became shorter while it was read; is another worker at it?');
    have += got;
  }
  return bytes;
}
