// Settings: a value of plain data for each key.
import type { Store } from './open';

export function settings(store: Store): Record<string, unknown> {
  const rows = store.sql<{ key: string; value: string }>('SELECT key, value FROM setting ORDER BY key').all();
  return Object.fromEntries(rows.map(({ key, value }) => [key, JSON.parse(value)]));
}

export function setting(store: Store, key: string): unknown {
  const row = store.sql<{ value: string }>('SELECT value FROM setting WHERE key = ?').get(key);
  return row && JSON.parse(row.value);
}

/** null and undefined forget the key. */
export function setSetting(store: Store, key: string, value: unknown): void {
  if (value === undefined || value === null) store.sql('DELETE FROM setting WHERE key = ?').run(key);
  else
    store
      .sql('INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
      .run(key, JSON.stringify(value));
}
