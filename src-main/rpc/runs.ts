// Runs: the list, one in detail, and what a person may do with them.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { catalogue } from '../blocks';
import { inspect } from '../engine/cost';
import { memoryProblem } from '../engine/memory';
import { eventsAfter } from '../runs/events';
import { runFolder } from '../runs/folder';
import { isResumable } from '../runs/standing';
import { inWords } from '../runs/supervisor';
import { renameRun, restoreRun, trashRun } from '../runs/trash';
import { SpecError } from '../spec/error';
import { readPattern } from '../spec/pattern';
import { parseRun, type RunDraft, type RunSpec } from '../spec/run';
import { checkpoints, samples, warnings } from '../store/event';
import { allPoints, type Standing, standings } from '../store/metric';
import { getRun, listRuns, queued, type RunRecord } from '../store/run';
import { makeRunData, tasks } from '../tasks';
import type { Implementation, RunRow } from './contract';
import { exampleRuns } from './example';
import type { Lab } from './lab';
import { type Inputs, id, ids, name, nothing } from './method';
import { Pace } from './pace';

export const inputs: Inputs<'runs'> = {
  list: z.strictObject({ deleted: z.boolean().optional() }),
  get: z.strictObject({ id }),
  // Each draft is read by parseRun, whose problems name paths inside it.
  create: z.strictObject({ runs: z.array(z.custom<RunDraft>()).min(1).max(1000) }),
  example: nothing,
  pause: z.strictObject({ ids }),
  resume: z.strictObject({ ids }),
  step: z.strictObject({ ids }),
  stop: z.strictObject({ ids }),
  rename: z.strictObject({ id, name }),
  remove: z.strictObject({ ids }),
  restore: z.strictObject({ ids }),
  reorder: z.strictObject({ id, before: id.nullable() }),
  events: z.strictObject({
    id,
    after: z.int().min(0),
    limit: z.int().min(1).max(10_000),
    readings: z.boolean().optional(),
  }),
  csv: z.strictObject({ ids }),
};

/** A CSV of more points than this would not fit into one string. */
const MAX_CSV_POINTS = 4_000_000;

export function runs(lab: Lab): Implementation['runs'] {
  const { store, supervisor, paths, tell, now } = lab;
  /** The rows of the given records, with one look at the queue and the metrics for all of them. */
  const pace = new Pace();
  const rowsOf = (records: readonly RunRecord[]): RunRow[] => {
    const places = new Map(queued(store).map((id, i) => [id, i + 1]));
    const all = records.length === 1 ? standings(store, records[0].key) : standings(store);
    const byRun = Map.groupBy(all, ({ run }) => run);
    return records.map((run) =>
      rowOf(
        run,
        byRun.get(run.key) ?? [],
        places.get(run.id) ?? null,
        newestCheckpoint(run),
        eta(run, pace.see(run, now())),
        supervisor.troubleOf(run.id),
      ),
    );
  };
  const newestCheckpoint = (run: RunRecord): number | null => checkpoints(store, run.key).at(-1)?.step ?? null;
  const known = (id: string): RunRecord => {
    const run = getRun(store, id);
    if (!run) throw new SpecError(`there is no run ${JSON.stringify(id)} in this lab`, 'id');
    return run;
  };
  /** Does the same with each; what went wrong with some is said after the others are done. */
  const each = (ids: readonly string[], act: (id: string) => void) => {
    const failed: string[] = [];
    for (const id of ids) {
      try {
        act(id);
      } catch (error) {
        failed.push(inWords(error, paths.folder));
      }
    }
    tell({ kind: 'runs', ids: [...ids] });
    if (failed.length) throw new Error([...new Set(failed)].join('\n'));
  };
  const create = (drafts: readonly unknown[]) => rowsOf(supervisor.create(readDrafts(drafts, paths.folder)));

  return {
    list: ({ deleted = false }) => rowsOf(listRuns(store, { deleted })),
    get({ id }) {
      const run = known(id);
      const folder = runFolder(paths, id);
      return {
        ...rowsOf([run])[0],
        spec: run.spec,
        folder,
        warnings: warnings(store, run.key),
        samples: samples(store, run.key),
        checkpoints: checkpoints(store, run.key).filter(({ file }) => existsSync(checkpointPath(folder, file))),
      };
    },
    create: ({ runs }) => create(runs),
    example: () => create(exampleRuns()),
    pause: ({ ids }) => each(ids, (id) => supervisor.pause(id)),
    resume: ({ ids }) => each(ids, (id) => supervisor.resume(id)),
    step: ({ ids }) => each(ids, (id) => supervisor.step(id)),
    stop: ({ ids }) => each(ids, (id) => supervisor.stop(id)),
    rename({ id, name }) {
      renameRun(store, supervisor, id, name);
      tell({ kind: 'runs', ids: [id] });
    },
    remove: ({ ids }) => each(ids, (id) => trashRun(store, supervisor, id, now())),
    restore: ({ ids }) => each(ids, (id) => restoreRun(store, supervisor, id)),
    reorder: ({ id, before }) => supervisor.reorder(id, before),
    events: ({ id, after, limit, readings }) => eventsAfter(store, paths, known(id), after, limit, readings),
    csv({ ids }) {
      const lines = ['run,name,metric,step,tokens,seconds,value'];
      for (const id of ids) {
        const run = known(id);
        for (const { name, step, tokens, seconds, value } of allPoints(store, run.key)) {
          lines.push([cell(id), cell(run.name), cell(name), step, tokens, seconds, value ?? ''].join(','));
          if (lines.length > MAX_CSV_POINTS)
            throw new Error(
              `These runs have more than ${MAX_CSV_POINTS} points, too many for one file; export fewer runs at a time.`,
            );
        }
      }
      return `${lines.join('\n')}\n`;
    },
  };
}

/** The log names a file of the checkpoints folder; whatever else it names is looked for there too, and not found. */
const checkpointPath = (folder: string, file: string) => join(folder, 'checkpoints', file.replace(/^.*[\\/]/, ''));

/** A field of a CSV file, quoted where it must be. */
const cell = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/**
 * Reads drafts as a person wrote them; the layers of a model may be a line such as `mamba2 x3, attention x1`.
 * @throws SpecError with the problems of all of them; where there are several, each path begins with `runs[i]`.
 */
export function readDrafts(drafts: readonly unknown[], lab: string): RunSpec[] {
  const problems: SpecError['problems'][number][] = [];
  const specs = drafts.map((draft, i): RunSpec | undefined => {
    try {
      return readDraft(readPattern(draft), lab);
    } catch (error) {
      if (!(error instanceof SpecError)) throw error;
      for (const problem of error.problems)
        problems.push(
          drafts.length === 1
            ? problem
            : {
                ...problem,
                path: problem.path.replace(/^(run|model)\b/, (at) =>
                  at === 'run' ? `runs[${i}]` : `runs[${i}].model`,
                ),
              },
        );
      return undefined;
    }
  });
  if (problems.length) throw new SpecError(problems);
  return specs as RunSpec[];
}

function readDraft(draft: unknown, lab: string): RunSpec {
  const spec = parseRun(draft, catalogue, tasks);
  const { vocabulary, tokens } = makeRunData(spec, lab);
  const { problems } = inspect(spec.model, { tokens, vocabulary, objective: spec.objective.kind });
  const short = problems.length ? undefined : memoryProblem(spec, { tokens, vocabulary });
  if (short) problems.push(short);
  if (problems.length) throw new SpecError(problems);
  return spec;
}

/**
 * Seconds left to whichever limit comes first, at `pace` seconds a step by the clock, else at that of training so far;
 * null while there is no pace or nothing is left to do.
 */
export function eta({ status, step, tokens, seconds, spec }: RunRecord, pace: number | null = null): number | null {
  if (!['running', 'starting', 'paused'].includes(status) || step === 0 || seconds <= 0) return null;
  const { budget } = spec;
  const trained = seconds / step;
  const each = pace ?? trained;
  const left = [(budget.steps - step) * each];
  if (budget.tokens !== undefined && tokens > 0) left.push(((budget.tokens - tokens) * step * each) / tokens);
  if (budget.seconds !== undefined) left.push(((budget.seconds - seconds) * each) / trained);
  return Math.max(0, Math.min(...left));
}

function rowOf(
  run: RunRecord,
  metrics: readonly Standing[],
  queue: number | null,
  checkpointStep: number | null,
  etaSeconds: number | null,
  trouble: string | null,
): RunRow {
  const { facts, spec } = run;
  return {
    id: run.id,
    name: run.name,
    status: run.status,
    why: run.why,
    trouble,
    step: run.step,
    steps: run.steps,
    tokens: run.tokens,
    seconds: run.seconds,
    etaSeconds,
    createdAt: run.createdAt,
    startedAt: run.startedAt,
    endedAt: run.endedAt,
    heartbeatAt: run.heartbeatAt,
    ownerPid: run.ownerPid,
    queue,
    last: Object.fromEntries(metrics.map(({ name, last }) => [name, last])),
    best: Object.fromEntries(metrics.map(({ name, best }) => [name, best])),
    parameters: facts?.parameters ?? null,
    stateBytes: facts?.stateBytes ?? null,
    device: facts?.device ?? run.device,
    deviceDetail: facts?.deviceDetail ?? null,
    threads: facts?.threads ?? spec.threads,
    tokensPerSecond: run.speed,
    task: run.task,
    objective: spec.objective?.kind ?? 'next_token',
    blocks: run.blocks,
    seed: run.seed,
    tokensPerStep: facts?.tokensPerStep ?? null,
    stepFlops: facts?.stepFlops ?? null,
    parent: spec.parent ?? null,
    resumable: isResumable(run.status) && run.step < run.steps,
    checkpointStep,
    sizeBytes: run.sizeBytes,
    deletedAt: run.deletedAt,
    seq: run.seq,
  };
}
