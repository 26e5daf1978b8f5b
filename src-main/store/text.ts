// The user's texts: what they are called and how large they are; their files are in the lab folder.
import type { Store } from './open';

export interface TextRow {
  id: string;
  name: string;
  bytes: number;
  addedAt: number;
}

export const listTexts = (store: Store): TextRow[] =>
  store
    .sql<TextRow>(
      'SELECT id, name, bytes, added_at AS addedAt FROM text WHERE deleted_at IS NULL ORDER BY added_at DESC, id',
    )
    .all();

/** Every text's id, removed ones too. */
export const textIds = (store: Store): string[] =>
  store
    .sql<{ id: string }>('SELECT id FROM text')
    .all()
    .map(({ id }) => id);

export function insertText(store: Store, { id, name, bytes, addedAt }: TextRow): void {
  store.sql('INSERT OR IGNORE INTO text (id, name, bytes, added_at) VALUES (?, ?, ?, ?)').run(id, name, bytes, addedAt);
}

/** False if there is no such text. */
export const setTextDeleted = (store: Store, id: string, at: number): boolean =>
  store.sql('UPDATE text SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL').run(at, id).changes > 0;

/** Texts removed before `at`: their files may go. */
export const removedTexts = (store: Store, at: number): string[] =>
  store
    .sql<{ id: string }>('SELECT id FROM text WHERE deleted_at < ?')
    .all(at)
    .map(({ id }) => id);

export const forgetText = (store: Store, id: string): void => {
  store.sql('DELETE FROM text WHERE id = ?').run(id);
};
