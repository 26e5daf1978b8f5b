// Brings a store's tables up to date: each file of db/migrations once, in order of its number.
import type { Database } from 'better-sqlite3';

export interface Migration {
  version: number;
  file: string;
  sql: string;
}

const files = import.meta.glob<string>('../../db/migrations/*.sql', { query: '?raw', import: 'default', eager: true });

/** All migrations, by number; the number is what the file's name begins with. */
export const MIGRATIONS: readonly Migration[] = Object.entries(files)
  .map(([path, sql]) => {
    const file = path.slice(path.lastIndexOf('/') + 1);
    return { version: Number.parseInt(file, 10), file, sql };
  })
  .sort((a, b) => a.version - b.version);

/** @throws Error when the store has had a migration that this version of the lab does not know. */
export function migrate(db: Database, migrations: readonly Migration[], now: () => number): void {
  const newest = migrations.at(-1)?.version ?? 0;
  const made = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'").get();
  const at = made ? ((db.prepare('SELECT max(version) FROM schema_version').pluck().get() as number | null) ?? 0) : 0;
  if (at > newest)
    throw new Error(
      `${db.name} was written by a newer version of the lab (schema ${at}; this one knows up to ${newest}). ` +
        'Update the lab, or start it with --folder on another folder.',
    );
  for (const { version, file, sql } of migrations) {
    if (version <= at) continue;
    db.transaction(() => {
      db.exec(sql);
      db.prepare('INSERT INTO schema_version (version, file, applied_at) VALUES (?, ?, ?)').run(version, file, now());
    }).exclusive();
  }
}

/** The tables and indexes as SQL, the way `db/schema.sql` keeps them. */
export function schemaOf(db: Database): string {
  const statements = db
    .prepare<[], { sql: string }>(
      "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )
    .all();
  return `-- Written from db/migrations by the store's tests (vitest -u); do not edit.\n\n${statements
    .map(({ sql }) => `${sql};\n`)
    .join('\n')}`;
}
