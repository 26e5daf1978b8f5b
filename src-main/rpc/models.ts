// Models: what one costs, the presets, and those the user saved.
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { inspect } from '../engine/cost';
import { presets } from '../engine/presets';
import { SpecError } from '../spec/error';
import { type ModelSpec, modelSchema } from '../spec/model';
import { OBJECTIVES } from '../spec/run';
import { problemsOf } from '../spec/zod';
import { listModels, saveModel, setModelDeleted } from '../store/model';
import type { Causality, Implementation } from './contract';
import { ask } from './devices';
import type { Lab } from './lab';
import { type Inputs, id, name, nothing } from './method';

/** A model that takes longer is too large for a look. */
const CAUSALITY_MS = 120_000;

export const inputs: Inputs<'models'> = {
  inspect: z.strictObject({
    model: z.unknown().optional(),
    tokens: z.int().min(1).max(1_048_576),
    vocabulary: z.int().min(1).max(10_000_000),
    objective: z.enum(['auto', ...OBJECTIVES]).default('next_token'),
  }) as unknown as Inputs<'models'>['inspect'],
  causality: z.strictObject({
    model: z.custom<ModelSpec>(),
    tokens: z.int().min(1).max(1_048_576),
    vocabulary: z.int().min(1).max(10_000_000),
  }) as unknown as Inputs<'models'>['causality'],
  presets: nothing,
  list: nothing,
  // The model's own shape is checked by `readModel`, whose problems name paths inside the model.
  save: z.strictObject({ id: id.optional(), name, model: z.custom<ModelSpec>() }),
  remove: z.strictObject({ id }),
  restore: z.strictObject({ id }),
};

export const models = ({ store, tell, now, probe }: Lab): Implementation['models'] => ({
  inspect({ model, tokens, vocabulary, objective }) {
    const answer = inspect(model, { tokens, vocabulary, objective });
    // The mask token is one more row of the tables.
    return answer.objective === 'masked'
      ? inspect(model, { tokens, vocabulary: vocabulary + 1, objective: 'masked' })
      : answer;
  },
  causality({ model, tokens, vocabulary }) {
    // What is wrong with it is told here, with its paths; only the computing is done elsewhere.
    const { problems } = inspect(model, { tokens, vocabulary, objective: 'masked' });
    if (problems.length) throw new SpecError(problems);
    return ask<Causality>(probe(), ['causality'], CAUSALITY_MS, { model, tokens, vocabulary });
  },
  presets: () => [...presets],
  list: () => listModels(store),
  save({ id, name, model }) {
    const saved = { id: id ?? randomUUID(), name, model: readModel(model), updatedAt: now() };
    saveModel(store, saved);
    tell({ kind: 'models' });
    return saved;
  },
  remove({ id }) {
    if (!setModelDeleted(store, id, now())) throw unknown(id);
    tell({ kind: 'models' });
  },
  restore({ id }) {
    if (!setModelDeleted(store, id, null)) throw unknown(id);
    tell({ kind: 'models' });
  },
});

const unknown = (id: string) => new SpecError(`there is no saved model ${JSON.stringify(id)} in this lab`, 'id');

/** A model still being built may be saved: its shape has to be right, its blocks need not fit together yet. */
function readModel(value: unknown): ModelSpec {
  const result = modelSchema.safeParse(value);
  if (!result.success) throw new SpecError(problemsOf(result.error, 'model', value));
  return result.data;
}
