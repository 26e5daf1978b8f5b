// The tasks of this build, and a look at the data that one makes.
import { z } from 'zod';
import { SpecError } from '../spec/error';
import { type ObjectiveDraft, objectiveSchema } from '../spec/run';
import { makeRunData, taskCards } from '../tasks';
import type { TaskData } from '../tasks/define';
import type { Implementation, TaskPreview } from './contract';
import type { Lab } from './lab';
import { type Inputs, id, nothing } from './method';

/** Tokens shown of a row; a longer one is cut. */
const MAX_SHOWN = 512;
/** The preview shows what data looks like, so any one seed does. */
const PREVIEW_SEED = 1;
const NEXT_TOKEN: ObjectiveDraft = { kind: 'next_token' };

export const inputs: Inputs<'tasks'> = {
  list: nothing,
  preview: z.strictObject({
    id,
    options: z.record(z.string(), z.unknown()),
    rows: z.int().min(0).max(64),
    objective: objectiveSchema.optional(),
  }),
};

export const tasks = ({ paths }: Lab): Implementation['tasks'] => ({
  list: () => [...taskCards],
  preview({ id, options, rows, objective: wanted = NEXT_TOKEN }) {
    const objective = objectiveSchema.parse(wanted);
    try {
      return preview(makeRunData({ task: { id, options }, objective, seed: PREVIEW_SEED }, paths.folder), rows);
    } catch (error) {
      if (!(error instanceof SpecError)) throw error;
      const problems = [...error.problems];
      return { rows: [], vocabulary: 0, tokensTrain: null, tokensValidation: null, problems, levels: {} };
    }
  },
});

function preview(data: TaskData, count: number): TaskPreview {
  const batch = count > 0 ? data.batch('train', 0, count) : undefined;
  const rows = Array.from({ length: batch?.size ?? 0 }, (_, b) => {
    const { tokens, inputs, targets, mask } = batch!;
    const start = b * tokens;
    const shown = Math.min(tokens, MAX_SHOWN);
    const text = (of: Int32Array) => Array.from(of.subarray(start, start + shown), (token) => data.decode([token]));
    return {
      tokens: text(inputs),
      targets: text(targets),
      graded: Array.from({ length: shown }, (_, t) => mask === null || mask[start + t] === 1),
    };
  });
  return {
    rows,
    vocabulary: data.vocabulary,
    tokens: data.tokens,
    tokensTrain: data.sizes.train,
    tokensValidation: data.sizes.validation,
    problems: [],
    levels: { ...data.levels },
  };
}
