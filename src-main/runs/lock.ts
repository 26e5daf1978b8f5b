// One lab on a folder at a time. The lock is SQLite's own: the system lets go of it when its holder dies, however it dies.
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';

export interface Holder {
  pid: number;
  host: string;
  /** Where its window is, when it has an address. */
  address: string | null;
  since: number;
}

export interface Lock {
  /** Tells others where the window is. */
  setAddress(address: string): void;
  release(): void;
}

/** Raised when another process has the folder; reads as the sentence for the user. */
export class FolderInUse extends Error {
  override name = 'FolderInUse';
  constructor(
    folder: string,
    readonly holder: Holder | undefined,
  ) {
    const who = holder
      ? `process ${holder.pid} (${holder.host}, since ${new Date(holder.since).toLocaleString()})`
      : 'another process';
    const where = holder?.address ? ` Its window is at ${holder.address}` : '';
    super(
      `The lab in ${folder} is already open in ${who}.${where}\n` +
        'Use that one, end it first, or start this one with --folder on another folder. Nothing was changed.',
    );
  }
}

/**
 * Takes the folder. The holder is written in the file and then guarded by a write transaction that stays open:
 * others can read who it is, and can't take it. Within one process nothing else may open or read the file by node:fs,
 * because POSIX drops a process's locks on a file when any of its handles on it is closed.
 * @throws FolderInUse with the holder.
 */
export function takeLock(path: string, host: string, { pid = process.pid, now = Date.now } = {}): Lock {
  mkdirSync(dirname(path), { recursive: true });
  let db: Database.Database;
  try {
    db = openFile(path);
  } catch (error) {
    throw inUse(path, error);
  }
  const holder: Holder = { pid, host, address: null, since: now() };
  const guard = () => {
    db.exec('BEGIN IMMEDIATE');
    // From here on only someone reading who holds the folder can be in the way, for a moment.
    db.pragma('busy_timeout = 2000');
    db.prepare('DELETE FROM holder').run();
    db.prepare('INSERT INTO holder (pid, host, address, since) VALUES (?, ?, ?, ?)').run(
      holder.pid,
      holder.host,
      holder.address,
      holder.since,
    );
    db.exec('COMMIT');
    db.exec('BEGIN IMMEDIATE');
    // Between the two transactions another could have slipped in; then the row is no longer ours.
    if (readHolder(db)?.pid !== holder.pid) throw Object.assign(new Error('taken'), { code: 'SQLITE_BUSY' });
  };
  try {
    guard();
  } catch (error) {
    db.close();
    throw inUse(path, error);
  }
  return {
    setAddress(address) {
      holder.address = address;
      db.exec('COMMIT');
      guard();
    },
    release() {
      if (!db.open) return;
      if (db.inTransaction) db.exec('ROLLBACK');
      db.close();
    },
  };
}

function openFile(path: string): Database.Database {
  const db = new Database(path, { timeout: 0 });
  try {
    // A rollback journal, not WAL: its write lock lets readers in.
    db.pragma('journal_mode = DELETE');
    if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'holder'").get())
      db.exec('CREATE TABLE IF NOT EXISTS holder (pid INTEGER, host TEXT, address TEXT, since INTEGER) STRICT');
    return db;
  } catch (error) {
    db.close();
    if (!/^SQLITE_(CORRUPT|NOTADB)/.test((error as { code?: string }).code ?? '')) throw error;
    // Whoever wrote this did not hold a lock with it.
    rmSync(path);
    return openFile(path);
  }
}

const readHolder = (db: Database.Database): Holder | undefined =>
  db.prepare<[], Holder>('SELECT pid, host, address, since FROM holder').get();

function inUse(path: string, error: unknown): unknown {
  const code = (error as { code?: string }).code ?? '';
  if (!code.startsWith('SQLITE_BUSY')) return error;
  return new FolderInUse(dirname(path), whoHolds(path));
}

/** Who holds the lock, as far as its file tells; it may be one who died. */
export function whoHolds(path: string): Holder | undefined {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, fileMustExist: true, timeout: 500 });
    return readHolder(db);
  } catch {
    return undefined;
  } finally {
    db?.close();
  }
}
