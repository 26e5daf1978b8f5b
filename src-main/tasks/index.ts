// The tasks of this build, found by their folders.
import { summaryOf, type TaskCard, type TaskTranslation, translationsOf } from '../spec/card';
import { SpecError } from '../spec/error';
import { checkOptions, complete, nearest } from '../spec/options';
import type { RunSpec } from '../spec/run';
import type { AnyTask, TaskContext, TaskData } from './define';
import { maskedData } from './masked';

const definitions = import.meta.glob<AnyTask>('./*/task.ts', { eager: true, import: 'default' });
const texts = import.meta.glob<string>('./*/card.md', { eager: true, query: '?raw', import: 'default' });
const russian = import.meta.glob<TaskTranslation>('./*/ru.ts', { eager: true, import: 'default' });

/** Every task by its id. */
export const tasks: ReadonlyMap<string, AnyTask> = new Map(
  Object.values(definitions)
    .sort((a, b) => a.id.localeCompare(b.id))
    .map((task) => [task.id, task]),
);

/** What the window shows of each task. */
export const taskCards: readonly TaskCard[] = [...tasks.values()].map((task) => {
  const text = texts[`./${task.id}/card.md`] ?? '';
  const { id, kind, title, options, presets, headline } = task;
  const translations = translationsOf(russian[`./${id}/ru.ts`]);
  return { id, kind, title, summary: summaryOf(text), text, options, presets, headline, translations };
});

/**
 * Makes a task's data.
 * @throws SpecError for an unknown task, options that do not fit, or a source that cannot be used.
 */
export function makeTask(id: string, options: Record<string, unknown>, context: TaskContext): TaskData {
  const task = tasks.get(id);
  if (!task) {
    const known = [...tasks.keys()];
    const near = nearest(id, known);
    throw new SpecError([
      {
        path: 'run.task.id',
        message: `unknown task ${JSON.stringify(id)}; known are ${known.join(', ')}`,
        hint: near && `did you mean ${near}?`,
      },
    ]);
  }
  const problems = checkOptions(task.options, options, 'run.task.options');
  if (problems.length) throw new SpecError(problems);
  return task.make(complete(task.options, options), context);
}

/**
 * The data of a run, as its objective reads them.
 * @throws SpecError as `makeTask` does, and for a masked objective on a task that is no text.
 */
export function makeRunData({ task, objective, seed }: Pick<RunSpec, 'task' | 'objective' | 'seed'>, lab?: string) {
  const data = makeTask(task.id, task.options, { seed, lab });
  if (objective.kind !== 'masked') return data;
  if (tasks.get(task.id)?.kind !== 'text')
    throw new SpecError([
      {
        path: 'run.objective.kind',
        message: `masked hides tokens of a text, and the task ${task.id} asks questions of its own`,
        hint: 'take next_token, or a text',
        fix: 'next_token',
      },
    ]);
  return maskedData(data, { ratio: objective.maskRatio, seed });
}
