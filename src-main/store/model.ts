// Models that the user saved under a name.
import type { ModelSpec } from '../spec/model';
import type { Store } from './open';

export interface ModelRow {
  id: string;
  name: string;
  model: ModelSpec;
  updatedAt: number;
}
type Row = Omit<ModelRow, 'model'> & { model: string };

const model = (row: Row): ModelRow => ({ ...row, model: JSON.parse(row.model) as ModelSpec });

/** Saved models outside the trash, the newest change first. */
export const listModels = (store: Store): ModelRow[] =>
  store
    .sql<Row>(
      `SELECT id, name, model, updated_at AS updatedAt FROM saved_model
       WHERE deleted_at IS NULL ORDER BY updated_at DESC, id`,
    )
    .all()
    .map(model);

/** Saves under `id`: a new one, or a new state of a known one, which leaves the trash by it. */
export function saveModel(store: Store, row: ModelRow): void {
  store
    .sql(
      `INSERT INTO saved_model (id, name, model, updated_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, model = excluded.model, updated_at = excluded.updated_at,
         deleted_at = NULL`,
    )
    .run(row.id, row.name, JSON.stringify(row.model), row.updatedAt);
}

/** Into the trash (`at`) or out of it (null); false if there is no such model. */
export const setModelDeleted = (store: Store, id: string, at: number | null): boolean =>
  store.sql('UPDATE saved_model SET deleted_at = ? WHERE id = ?').run(at, id).changes > 0;

/** Removes for good what has been in the trash since before `at`. */
export const purgeModels = (store: Store, at: number): void => {
  store.sql('DELETE FROM saved_model WHERE deleted_at < ?').run(at);
};
