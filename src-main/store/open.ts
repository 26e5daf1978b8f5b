// Opens the store: one SQLite file, checked, migrated, with a single writer. A broken file is set aside, not mended.
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { MIGRATIONS, type Migration, migrate } from './migrate';

export interface Store {
  readonly file: string;
  readonly db: Database.Database;
  /** A prepared statement; the same text is prepared once. */
  sql<Row = unknown>(text: string): Database.Statement<unknown[], Row>;
  /** Runs `work` in one write transaction: all of it happens, or nothing. */
  write<T>(work: () => T): T;
  close(): void;
}

export interface Opened {
  store: Store;
  /** Where the broken file went, when there was one; the new store is then empty but for what `salvage` brought over. */
  broken: { file: string; why: string } | null;
}

export interface OpenOptions {
  migrations?: readonly Migration[];
  now?: () => number;
}

/**
 * Opens `file`, making it where it is missing.
 * @throws Error when the store was written by a newer version of the lab, or the disk refuses.
 */
export function openStore(file: string, { migrations = MIGRATIONS, now = Date.now }: OpenOptions = {}): Opened {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true });
  const known = file !== ':memory:' && existsSync(file);
  try {
    return { store: open(file, migrations, now), broken: null };
  } catch (error) {
    if (!known || !isDamage(error)) throw error;
    const aside = setAside(file, now());
    const store = open(file, migrations, now);
    salvage(store, aside);
    return { store, broken: { file: aside, why: (error as Error).message } };
  }
}

class Damaged extends Error {}

const isDamage = (error: unknown): boolean =>
  error instanceof Damaged || (error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code));

function open(file: string, migrations: readonly Migration[], now: () => number): Store {
  const db = new Database(file, { timeout: 5000 });
  try {
    const found = db.pragma('quick_check(1)', { simple: true });
    if (found !== 'ok') throw new Damaged(`the integrity check of ${file} says: ${String(found)}`);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = NORMAL');
    db.pragma('foreign_keys = ON');
    db.pragma('cache_size = -65536');
    migrate(db, migrations, now);
  } catch (error) {
    db.close();
    throw error;
  }
  const prepared = new Map<string, Database.Statement<unknown[], unknown>>();
  return {
    file,
    db,
    sql<Row>(text: string) {
      let statement = prepared.get(text);
      if (!statement) {
        statement = db.prepare<unknown[], unknown>(text);
        prepared.set(text, statement);
      }
      return statement as Database.Statement<unknown[], Row>;
    },
    write: (work) => (db.inTransaction ? work() : db.transaction(work).immediate()),
    close() {
      if (!db.open) return;
      try {
        db.pragma('optimize');
      } catch {
        // It writes statistics for the planner; a full disk does not take them, and nothing is lost.
      }
      db.close();
    },
  };
}

/** Moves the broken file and its journal out of the way, keeping them for whoever wants to look. */
function setAside(file: string, at: number): string {
  const stamp = new Date(at).toISOString().replace(/[:.]/g, '-');
  let aside = `${file}.broken-${stamp}`;
  for (let n = 2; existsSync(aside); n++) aside = `${file}.broken-${stamp}-${n}`;
  renameSync(file, aside);
  for (const suffix of ['-wal', '-shm']) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  return aside;
}

/** Brings over what the run folders do not hold, as far as the broken file can still be read: settings and saved models. */
function salvage(store: Store, aside: string): void {
  let old: Database.Database | undefined;
  try {
    old = new Database(aside, { readonly: true, fileMustExist: true });
    for (const row of readable<{ key: string; value: string }>(old, 'SELECT key, value FROM setting'))
      tolerate(() => store.sql('INSERT OR IGNORE INTO setting (key, value) VALUES (?, ?)').run(row.key, row.value));
    const models = 'SELECT id, name, model, updated_at, deleted_at FROM saved_model';
    for (const row of readable<Record<string, unknown>>(old, models))
      tolerate(() =>
        store
          .sql('INSERT OR IGNORE INTO saved_model (id, name, model, updated_at, deleted_at) VALUES (?, ?, ?, ?, ?)')
          .run(row.id, row.name, row.model, row.updated_at, row.deleted_at),
      );
  } catch {
    // Not even a database any more: there is nothing to bring over.
  } finally {
    old?.close();
  }
}

function* readable<Row>(db: Database.Database, text: string): Generator<Row> {
  try {
    yield* db.prepare<[], Row>(text).iterate();
  } catch {
    // The table, or the rest of it, can't be read.
  }
}

function tolerate(work: () => unknown): void {
  try {
    work();
  } catch {
    // A row that does not fit any more stays behind.
  }
}
