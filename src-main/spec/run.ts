// RunSpec: everything that decides a run, as plain data. Immutable once the run exists.
import { z } from 'zod';
import type { Catalogue, TaskCard } from './card';
import { type Problem, SpecError } from './error';
import { checkModel, modelSchema } from './model';
import { checkOptions, nearest } from './options';
import { problemsOf } from './zod';

export const RUN_FORMAT = 'archlab.run/1';

export const DEVICES = ['cpu', 'webgpu', 'tensorflow', 'reference'] as const;
/** `cpu`: native kernels; `webgpu`: Dawn; `tensorflow`: tfjs-node where installed; `reference`: TF.js's own JavaScript CPU backend. */
export type DeviceId = (typeof DEVICES)[number];

export const PRECISIONS = ['float32', 'bfloat16'] as const;
/** `bfloat16`: factors of matrix products are rounded to it; weights, sums and everything else stay float32. */
export type Precision = (typeof PRECISIONS)[number];

const positive = z.number().positive();
const share = z.number().min(0).max(1);

const optimiser = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('adamw'),
    lr: positive.max(10).default(1e-3),
    beta1: share.default(0.9),
    beta2: share.default(0.95),
    eps: positive.max(1).default(1e-8),
    weightDecay: z.number().min(0).max(10).default(0.1),
  }),
  z.strictObject({
    kind: z.literal('sgd'),
    lr: positive.max(100).default(0.1),
    momentum: share.default(0.9),
    nesterov: z.boolean().default(false),
    weightDecay: z.number().min(0).max(10).default(0),
  }),
  z.strictObject({
    // Matrices of the blocks by Muon, the rest (embeddings, head, vectors) by AdamW with lr scaled by `adamScale`.
    kind: z.literal('muon'),
    lr: positive.max(10).default(0.02),
    momentum: share.default(0.95),
    nesterov: z.boolean().default(true),
    newtonSchulzSteps: z.int().min(1).max(12).default(5),
    weightDecay: z.number().min(0).max(10).default(0.1),
    adamScale: positive.max(10).default(0.05),
  }),
]);

const schedule = z.strictObject({
  kind: z.enum(['constant', 'linear', 'cosine', 'wsd', 'exponential']).default('cosine'),
  /** Steps of linear warm-up from 0. */
  warmup: z.int().min(0).max(1_000_000).default(20),
  /** Learning rate at the end, as a share of the peak. */
  final: share.default(0.1),
  /** WSD only: share of the steps spent decaying at the end. */
  decay: share.default(0.2),
});

export const OBJECTIVES = ['next_token', 'masked'] as const;
const labelSmoothing = z.number().min(0).max(0.5).default(0);
/** What the model learns: to predict the next token, or to fill in hidden ones. */
export const objectiveSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('next_token'), labelSmoothing }),
  z.strictObject({
    // As in BERT: of the chosen tokens 80 % are hidden by the mask token, 10 % replaced, 10 % left; only they are graded.
    kind: z.literal('masked'),
    /** Share of the tokens of each row that is chosen, one at least. */
    maskRatio: z.number().min(0.01).max(0.95).default(0.15),
    labelSmoothing,
  }),
]);

export const runSchema = z.strictObject({
  format: z.literal(RUN_FORMAT),
  name: z.string().max(200).optional(),
  model: modelSchema,
  task: z.strictObject({ id: z.string().min(1).max(64), options: z.record(z.string(), z.unknown()).default({}) }),
  objective: objectiveSchema.default({ kind: 'next_token', labelSmoothing: 0 }),
  optimiser: optimiser.default({ kind: 'adamw', lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 }),
  schedule: schedule.default({ kind: 'cosine', warmup: 20, final: 0.1, decay: 0.2 }),
  /** The run ends at whichever limit comes first; `steps` is the length that the schedule is drawn over. */
  budget: z.strictObject({
    steps: z.int().min(1).max(10_000_000),
    tokens: z.int().min(1).optional(),
    seconds: positive.optional(),
    /** Ends the run once an evaluation gives so much: an accuracy at least, or a loss at most. */
    until: z.strictObject({ accuracy: share.optional(), loss: positive.optional() }).optional(),
  }),
  /** `size` sequences a step in all, worked off in `accumulation` equal parts. */
  batch: z
    .strictObject({ size: z.int().min(1).max(65_536).default(16), accumulation: z.int().min(1).max(1024).default(1) })
    .default({ size: 16, accumulation: 1 }),
  /** Clips the global gradient norm; null leaves it alone. */
  clip: positive.nullable().default(1),
  device: z.enum(DEVICES).default('cpu'),
  precision: z.enum(PRECISIONS).default('float32'),
  /** Worker threads; null takes what the supervisor gives. Part of what fixes the bits of a run. */
  threads: z.int().min(1).max(256).nullable().default(null),
  seed: z.int().min(0).max(4_294_967_295).default(1),
  evaluation: z
    .strictObject({ every: z.int().min(0).default(50), batches: z.int().min(1).max(10_000).default(4) })
    .default({ every: 50, batches: 4 }),
  samples: z
    .strictObject({
      every: z.int().min(0).default(100),
      length: z.int().min(1).max(100_000).default(200),
      prompt: z.string().max(10_000).default(''),
      temperature: z.number().min(0).max(10).default(0.8),
    })
    .default({ every: 100, length: 200, prompt: '', temperature: 0.8 }),
  /** `every` steps (0: only at the end); the newest `keep` are kept besides the final one. */
  checkpoint: z
    .strictObject({ every: z.int().min(0).default(100), keep: z.int().min(1).max(1000).default(2) })
    .default({ every: 100, keep: 2 }),
  /** The run and step that this one was forked from. */
  parent: z.strictObject({ run: z.string().max(64), step: z.int().min(0) }).optional(),
});

export type RunSpec = z.output<typeof runSchema>;
/** A RunSpec as a person may write it: whatever has a default may be left out. */
export type RunDraft = z.input<typeof runSchema>;
export type OptimiserSpec = RunSpec['optimiser'];
export type ScheduleSpec = RunSpec['schedule'];
export type ObjectiveSpec = z.output<typeof objectiveSchema>;
export type ObjectiveDraft = z.input<typeof objectiveSchema>;
export type ObjectiveKind = ObjectiveSpec['kind'];

const known = [
  ...Object.keys(runSchema.shape),
  ...Object.keys(modelSchema.shape),
  'lr',
  'warmup',
  'steps',
  'every',
  'size',
  'kind',
  'maskRatio',
  'labelSmoothing',
  'until',
];

/** What is wrong beyond the shape: the model, the task's options, parts that contradict each other. */
function checkRun(
  run: RunSpec,
  catalogue: Catalogue,
  tasks: ReadonlyMap<string, Pick<TaskCard, 'options'>>,
): Problem[] {
  const problems = checkModel(run.model, catalogue);
  const task = tasks.get(run.task.id);
  if (!task) {
    const ids = [...tasks.keys()];
    const near = nearest(run.task.id, ids);
    problems.push({
      path: 'run.task.id',
      message: `unknown task ${JSON.stringify(run.task.id)}; known are ${ids.join(', ')}`,
      hint: near && `did you mean ${near}?`,
    });
  } else problems.push(...checkOptions(task.options, run.task.options, 'run.task.options'));
  if (run.batch.size % run.batch.accumulation !== 0)
    problems.push({
      path: 'run.batch.accumulation',
      message: `${run.batch.accumulation} parts do not divide a batch of ${run.batch.size}`,
      hint: 'choose a divisor of the batch size',
    });
  if (run.schedule.warmup > run.budget.steps)
    problems.push({
      path: 'run.schedule.warmup',
      message: `${run.schedule.warmup} steps of warm-up are longer than the run of ${run.budget.steps}`,
      hint: `try ${Math.max(0, Math.floor(run.budget.steps / 10))}`,
      fix: Math.max(0, Math.floor(run.budget.steps / 10)),
    });
  return problems;
}

/**
 * Reads a RunSpec from untrusted data and fills in its defaults.
 * @throws SpecError naming each path, what came, what fits and what to try.
 */
export function parseRun(
  value: unknown,
  catalogue: Catalogue,
  tasks: ReadonlyMap<string, Pick<TaskCard, 'options'>>,
): RunSpec {
  const result = runSchema.safeParse(value);
  if (!result.success) throw new SpecError(problemsOf(result.error, 'run', value, known));
  const problems = checkRun(result.data, catalogue, tasks);
  if (problems.length) throw new SpecError(problems);
  return result.data;
}
