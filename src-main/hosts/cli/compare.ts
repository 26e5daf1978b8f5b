// archlab compare: a small model for each block, the same data and budget, several seeds; ends with a table of what each costs and learns.

import { median } from 'simple-statistics';
import { catalogue } from '../../blocks';
import { inspect } from '../../engine/cost';
import { readEvents } from '../../log/read';
import type { RunRow } from '../../rpc/contract';
import { readDrafts } from '../../rpc/runs';
import { createRunFolder, runFolder as folderOf, labFolder, labPaths } from '../../runs/folder';
import { MODEL_FORMAT, type ModelSpec } from '../../spec/model';
import { nearest } from '../../spec/options';
import {
  type DeviceId,
  OBJECTIVES,
  type ObjectiveKind,
  PRECISIONS,
  type Precision,
  RUN_FORMAT,
  type RunDraft,
} from '../../spec/run';
import { againstLowest, halfWidth95 } from '../../spec/significance';
import { tasks } from '../../tasks';
import { answer, answerJson, CommandError, type ExitCode, Interrupt, say } from './command';
import { bytes, moments, short, spread, table } from './format';
import { readLab } from './lab';
import { parseDevice, runFolder } from './train';

export interface CompareOptions {
  blocks: string;
  task: string;
  steps: number;
  seeds: number;
  width: number;
  layers: number;
  batch: number;
  lr: number;
  tokens?: number;
  /** `auto`: blocks that look at later tokens fill in hidden ones, the others predict the next. */
  objective?: string;
  /** Precisions with commas between; each block is trained in each. */
  precision?: string;
  /** Steps between evaluations; a quarter of all if absent. */
  every?: number;
  threads?: number;
  device: string;
  folder?: string;
  json?: boolean;
}

const LOSS = 'loss/validation';

/** What one block cost and learned in one precision, over its seeds. */
export interface Outcome {
  block: string;
  precision: Precision;
  runs: string[];
  /** Last value of each metric that the table shows, a seed each. */
  metrics: Record<string, number[]>;
  /** Welch's p of the validation loss against the outcome with the lowest; null for that one, and where seeds are too few. */
  p: number | null;
  tokensPerSecond: { median: number; low: number; high: number } | null;
  parameters: number | null;
  stateBytes: number | null;
}

interface Made {
  block: string;
  precision: Precision;
  id: string;
}

/** Trains every block in every precision with every seed, one run after the other, so that each has the machine to itself while it is timed. */
export async function compare(options: CompareOptions): Promise<ExitCode> {
  const paths = labPaths(labFolder(options.folder));
  const blocks = chosenBlocks(options.blocks);
  const device = parseDevice(options.device);
  const precisions = chosenPrecisions(options.precision ?? 'float32');
  const wanted = blocks.flatMap((block) =>
    precisions.flatMap((precision) =>
      Array.from({ length: options.seeds }, (_, i) => ({ block, precision, seed: i + 1 })),
    ),
  );
  const specs = readDrafts(
    wanted.map(({ block, precision, seed }) => draft(block, seed, device, options, precision)),
    paths.folder,
  );
  if (new Set(specs.map(({ objective }) => objective.kind)).size > 1)
    say(
      'Some of these blocks fill in hidden tokens and the others predict the next: the losses of the two kinds do not compare.',
    );
  using interrupt = new Interrupt();
  const made: Made[] = [];
  let failed = 0;
  for (const [i, { block, precision }] of wanted.entries()) {
    const spec = specs[i];
    if (interrupt.times > 0) break;
    const id = createRunFolder(paths, spec);
    const folder = folderOf(paths, id);
    const name = `${spec.name} of ${options.seeds}`;
    const { end } = await runFolder({ folder, spec, lab: paths.folder, threads: options.threads, interrupt, name });
    if (end.status === 'finished') made.push({ block, precision, id });
    else {
      failed += 1;
      say(`${name}: ${end.why}`);
    }
  }
  const headline = tasks.get(options.task)!.headline.metric;
  using lab = readLab(
    paths.folder,
    made.map(({ id }) => id),
  );
  const rows = new Map((await lab.runs.list({})).map((row) => [row.id, row]));
  const outcomes = judge(
    made.map(({ block, precision, id }) => ({ block, precision, row: rows.get(id)! })),
    [...new Set([LOSS, headline])],
  );
  const sizes = sizeNote(outcomes);
  if (sizes) say(`\n${sizes}`);
  if (options.json)
    answerJson({
      task: options.task,
      steps: options.steps,
      seeds: options.seeds,
      device,
      blocks: outcomes.map((outcome) => ({
        ...plain(outcome),
        curve: curveOf(outcome.runs.map((id) => folderOf(paths, id))),
      })),
    });
  else
    answer(
      outcomes.length
        ? `\n${outcomeTable(outcomes)}\nThe runs are in ${paths.runs}; the window shows them.`
        : 'No run finished.',
    );
  return failed > 0 || interrupt.times > 0 ? 1 : 0;
}

function chosenBlocks(list: string): string[] {
  const blocks = list.split(',').map((name) => name.trim());
  const mixers = [...catalogue].filter(([, { role }]) => role === 'mixer').map(([id]) => id);
  for (const block of blocks)
    if (!mixers.includes(block)) {
      const near = nearest(block, mixers);
      const hint = near ? `; did you mean ${near}?` : '';
      throw new CommandError(
        `--blocks: ${block || 'nothing'} is not a block that mixes tokens; known are ${mixers.join(', ')}${hint}`,
        2,
      );
    }
  return [...new Set(blocks)];
}

function chosenPrecisions(list: string): Precision[] {
  const precisions = list.split(',').map((name) => name.trim());
  for (const precision of precisions)
    if (!(PRECISIONS as readonly string[]).includes(precision))
      throw new CommandError(
        `--precision: ${precision || 'nothing'} is not one; known are ${PRECISIONS.join(', ')}`,
        2,
      );
  return [...new Set(precisions)] as Precision[];
}

/** The validation losses of some runs, step by step: `loss[i]` of run i. */
function curveOf(folders: readonly string[]): { steps: number[]; loss: (number | null)[][] } {
  const curves = folders.map((folder) => {
    const points: { step: number; loss: number | null }[] = [];
    for (let offset = 0; ; ) {
      const read = readEvents(folder, offset);
      if (read.offset === offset) return points;
      offset = read.offset;
      for (const event of read.events)
        if (event.kind === 'evaluation') points.push({ step: event.step, loss: event.values[LOSS] ?? null });
    }
  });
  return {
    steps: curves[0].map(({ step }) => step),
    loss: curves.map((points) => points.map(({ loss }) => loss)),
  };
}

/** The run of one block and seed: `layers` times the block and a gated MLP, on the task's first preset. */
export function draft(
  block: string,
  seed: number,
  device: DeviceId,
  options: CompareOptions,
  precision: Precision = 'float32',
): RunDraft {
  const task = tasks.get(options.task);
  if (!task)
    throw new CommandError(`--task: ${options.task} is not a task; known are ${[...tasks.keys()].join(', ')}`, 2);
  if (options.tokens !== undefined && !('tokens' in task.options))
    throw new CommandError(
      `--tokens: the lengths of the task ${options.task} are set by its own options; leave --tokens out`,
      2,
    );
  const model: ModelSpec = {
    format: MODEL_FORMAT,
    name: block,
    width: options.width,
    positions: 'none',
    layers: [{ repeat: options.layers, layers: [{ block }, { block: 'gated_mlp' }] }],
    finalNorm: 'rms',
    head: { tied: true },
  };
  return {
    format: RUN_FORMAT,
    name: `${block}, ${precision === 'float32' ? '' : `${precision}, `}seed ${seed}`,
    model,
    objective: { kind: chosenObjective(options.objective ?? 'auto', model) },
    task: { id: options.task, options: options.tokens === undefined ? {} : { tokens: options.tokens } },
    optimiser: { kind: 'adamw', lr: options.lr },
    schedule: { kind: 'cosine', warmup: Math.min(20, Math.floor(options.steps / 10)), final: 0.1, decay: 0.2 },
    budget: { steps: options.steps },
    batch: { size: options.batch },
    device,
    precision,
    seed,
    evaluation: { every: options.every ?? Math.max(1, Math.floor(options.steps / 4)), batches: 4 },
    samples: { every: 0 },
    checkpoint: { every: 0 },
  };
}

function chosenObjective(name: string, model: ModelSpec): ObjectiveKind {
  if (name === 'auto') return inspect(model, { tokens: 1, vocabulary: 1, objective: 'auto' }).objective;
  if ((OBJECTIVES as readonly string[]).includes(name)) return name as ObjectiveKind;
  throw new CommandError(`--objective: ${name} is not one; known are auto, ${OBJECTIVES.join(', ')}`, 2);
}

/** Brings the runs of each block and precision together, and tests their losses against the lowest. */
export function judge(
  runs: readonly { block: string; precision: Precision; row: RunRow }[],
  metrics: readonly string[],
): Outcome[] {
  const outcomes = [...Map.groupBy(runs, ({ block, precision }) => `${block} ${precision}`).values()].map((group) => {
    const [{ block, precision }] = group;
    const rows = group.map(({ row }) => row);
    const speeds = rows.map(({ tokensPerSecond }) => tokensPerSecond).filter((speed) => speed !== null);
    return {
      block,
      precision,
      runs: rows.map(({ id }) => id),
      metrics: Object.fromEntries(
        metrics.map((name) => [name, rows.map(({ last }) => last[name]).filter((value) => typeof value === 'number')]),
      ),
      tokensPerSecond: speeds.length
        ? {
            median: median(speeds.map((speed) => speed.median)),
            low: Math.min(...speeds.map(({ low }) => low)),
            high: Math.max(...speeds.map(({ high }) => high)),
          }
        : null,
      parameters: rows[0].parameters,
      stateBytes: rows[0].stateBytes,
    };
  });
  const tests = againstLowest(
    outcomes.map(({ metrics: { [LOSS]: values = [] } }) => {
      const { mean, std } = moments(values);
      return mean === null ? null : { mean, std: std ?? 0, n: values.length };
    }),
  );
  return outcomes.map((outcome, i) => ({ ...outcome, p: tests[i] }));
}

/** An outcome with its statistics, for --json. */
const plain = ({ metrics, ...rest }: Outcome) => ({
  ...rest,
  metrics: Object.fromEntries(
    Object.entries(metrics).map(([name, values]) => [
      name,
      { ...moments(values), interval95: interval95(values), n: values.length, values },
    ]),
  ),
});

/** The 95 % confidence interval of the mean; null for fewer than two seeds. */
function interval95(values: readonly number[]): [number, number] | null {
  const { mean, std } = moments(values);
  const half = std === null ? null : halfWidth95({ std, n: values.length });
  return mean === null || half === null ? null : [mean - half, mean + half];
}

/** More than this share apart, and part of a difference may be that of size. */
const FAIR = 0.02;
/** Says that the models are not of one size; undefined where they are, or where there is one. */
export function sizeNote(outcomes: readonly Pick<Outcome, 'parameters'>[]): string | undefined {
  const counts = outcomes.flatMap(({ parameters }) => parameters ?? []);
  const apart = Math.max(...counts) / Math.min(...counts) - 1;
  return counts.length > 1 && apart > FAIR
    ? `Parameters differ by ${(100 * apart).toFixed(1)} %: part of the difference in loss may be that of size. The Train dialog of the window matches them.`
    : undefined;
}

/** A p value as it is read. */
const chance = (p: number | null): string =>
  p === null ? '-' : p < 0.001 ? '< 0.001' : String(Number(p.toPrecision(2)));

/** The table that a comparison ends with; how sure the losses are stands beside them where there are seeds to tell. */
export function outcomeTable(outcomes: readonly Outcome[]): string {
  const metrics = Object.keys(outcomes[0].metrics);
  const speed = ({ tokensPerSecond: speed }: Outcome) =>
    speed ? `${short(speed.median)} [${short(speed.low)} - ${short(speed.high)}]` : '-';
  const several = new Set(outcomes.map(({ precision }) => precision)).size > 1;
  const intervals = outcomes.map(({ metrics: { [LOSS]: values = [] } }) => interval95(values));
  const certain = intervals.some((interval) => interval !== null);
  const tested = outcomes.some(({ p }) => p !== null);
  return table(
    [
      'block',
      ...(several ? ['precision'] : []),
      ...metrics.flatMap((name) => [`>${name} (n)`, ...(certain && name === LOSS ? ['>95 % interval'] : [])]),
      ...(tested ? ['>p'] : []),
      '>tokens/s [low - high]',
      '>parameters',
      '>state',
    ],
    outcomes.map((outcome, i) => [
      outcome.block,
      ...(several ? [outcome.precision] : []),
      ...metrics.flatMap((name) => [
        spread(outcome.metrics[name]),
        ...(certain && name === LOSS ? [intervals[i]?.map((end) => end.toFixed(4)).join(' - ') ?? '-'] : []),
      ]),
      ...(tested ? [chance(outcome.p)] : []),
      speed(outcome),
      short(outcome.parameters),
      bytes(outcome.stateBytes),
    ]),
  );
}
