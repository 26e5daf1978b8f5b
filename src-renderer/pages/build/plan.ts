// From the choices of the Train dialog to run drafts and to what they will cost: pure, so that it can be tested.
import type { Inspection } from '../../../src-main/rpc/contract';
import type { ModelSpec } from '../../../src-main/spec/model';
import {
  type DeviceId,
  type ObjectiveDraft,
  RUN_FORMAT,
  type RunDraft,
  type RunSpec,
} from '../../../src-main/spec/run';

export const OPTIMISERS = ['adamw', 'muon', 'sgd'] as const;
export type OptimiserKind = (typeof OPTIMISERS)[number];
export const SCHEDULES = ['cosine', 'wsd', 'linear', 'exponential', 'constant'] as const;

/** What all runs of one start share. */
export interface TrainSettings {
  steps: number;
  batch: number;
  accumulation: number;
  optimiser: OptimiserKind;
  lr: number;
  weightDecay: number;
  schedule: (typeof SCHEDULES)[number];
  warmup: number;
  clip: number | null;
  seeds: number;
  firstSeed: number;
  device: DeviceId;
  precision: RunSpec['precision'];
  every: number;
  /** Learning rate at the end as a share of the peak, and the share of the steps over which WSD falls. */
  final: number;
  decay: number;
  beta1: number;
  beta2: number;
  momentum: number;
  nesterov: boolean;
  labelSmoothing: number;
  /** Goals and limits at which a run ends sooner; null: none. */
  untilAccuracy: number | null;
  untilLoss: number | null;
  minutes: number | null;
}

/** Settings that each optimiser begins with. */
export const USUAL: Record<
  OptimiserKind,
  Pick<TrainSettings, 'lr' | 'weightDecay' | 'beta1' | 'beta2' | 'momentum' | 'nesterov'>
> = {
  adamw: { lr: 2e-3, weightDecay: 0.1, beta1: 0.9, beta2: 0.95, momentum: 0.9, nesterov: false },
  muon: { lr: 0.02, weightDecay: 0.1, beta1: 0.9, beta2: 0.95, momentum: 0.95, nesterov: true },
  sgd: { lr: 0.1, weightDecay: 0, beta1: 0.9, beta2: 0.95, momentum: 0.9, nesterov: false },
};

export const settingsAtFirst: TrainSettings = {
  steps: 300,
  batch: 16,
  accumulation: 1,
  optimiser: 'adamw',
  ...USUAL.adamw,
  schedule: 'cosine',
  warmup: 20,
  clip: 1,
  seeds: 1,
  firstSeed: 1,
  device: 'cpu',
  precision: 'float32',
  every: 50,
  final: 0.1,
  decay: 0.2,
  labelSmoothing: 0,
  untilAccuracy: null,
  untilLoss: null,
  minutes: null,
};

/** The optimiser of a draft: each kind with the settings that it has. */
function optimiserOf({ optimiser: kind, lr, weightDecay, ...rest }: TrainSettings): RunDraft['optimiser'] {
  const { beta1, beta2, momentum, nesterov } = rest;
  return kind === 'adamw' ? { kind, lr, weightDecay, beta1, beta2 } : { kind, lr, weightDecay, momentum, nesterov };
}

/** The settings with which a run was made, for another like it. */
export function settingsOf(spec: RunSpec): TrainSettings {
  const { kind, lr, weightDecay, ...rest } = spec.optimiser;
  const { seconds, until } = spec.budget;
  return {
    ...settingsAtFirst,
    ...USUAL[kind],
    ...('beta1' in rest && { beta1: rest.beta1, beta2: rest.beta2 }),
    ...('momentum' in rest && { momentum: rest.momentum, nesterov: rest.nesterov }),
    steps: spec.budget.steps,
    batch: spec.batch.size,
    accumulation: spec.batch.accumulation,
    optimiser: kind,
    lr,
    weightDecay,
    schedule: spec.schedule.kind,
    warmup: spec.schedule.warmup,
    final: spec.schedule.final,
    decay: spec.schedule.decay,
    clip: spec.clip,
    firstSeed: spec.seed,
    device: spec.device,
    precision: spec.precision,
    every: spec.evaluation.every,
    labelSmoothing: spec.objective.labelSmoothing,
    untilAccuracy: until?.accuracy ?? null,
    untilLoss: until?.loss ?? null,
    minutes: seconds === undefined ? null : seconds / 60,
  };
}

/** Names of which no two are the same: the second `Mamba-2` becomes `Mamba-2 (2)`. */
export function distinctNames(names: readonly string[]): string[] {
  const taken = new Set(names);
  const seen = new Set<string>();
  return names.map((name) => {
    let one = name;
    for (let n = 2; seen.has(one) || (one !== name && taken.has(one)); n++) one = `${name} (${n})`;
    seen.add(one);
    return one;
  });
}

/** One run per model and seed: first all models with the first seed, so that a comparison is whole as early as can be. */
export function draftsOf(
  models: readonly ModelSpec[],
  task: { id: string; options: Record<string, unknown> },
  settings: TrainSettings,
  nameOf: (model: ModelSpec, seed: number) => string,
  objectiveOf: (model: ModelSpec) => ObjectiveDraft = () => ({ kind: 'next_token' }),
): RunDraft[] {
  const { steps, batch, accumulation, schedule, warmup, final, decay, clip, device, precision, every } = settings;
  const { untilAccuracy, untilLoss, minutes, labelSmoothing } = settings;
  const until = {
    ...(untilAccuracy !== null && { accuracy: untilAccuracy }),
    ...(untilLoss !== null && { loss: untilLoss }),
  };
  const seeds = Array.from({ length: settings.seeds }, (_, i) => settings.firstSeed + i);
  return seeds.flatMap((seed) =>
    models.map(
      (model): RunDraft => ({
        format: RUN_FORMAT,
        name: nameOf(model, seed).slice(0, 200),
        model,
        task: { id: task.id, options: task.options },
        objective: { ...objectiveOf(model), labelSmoothing },
        optimiser: optimiserOf(settings),
        schedule: { kind: schedule, warmup: Math.min(warmup, steps), final, decay },
        budget: {
          steps,
          ...(minutes !== null && { seconds: minutes * 60 }),
          ...(Object.keys(until).length > 0 && { until }),
        },
        batch: { size: batch, accumulation },
        clip,
        device,
        precision,
        seed,
        evaluation: { every },
      }),
    ),
  );
}

/** Numbers of optimiser state kept a parameter. */
const STATE: Record<OptimiserKind, number> = { adamw: 2, muon: 1, sgd: 1 };
const FLOAT = 4;

export interface Estimate {
  tokens: number;
  /** Forward and backward: the backward pass costs about twice the forward. */
  flops: number;
  /** Weights, gradients, optimiser state and activations of one part of the batch. */
  memoryBytes: number;
  /** Null until the device was measured. */
  seconds: number | null;
}

/** What one run of a model will cost. `gflops`: the measured rate of matrix products on the device. */
export function estimate(
  { total }: Pick<Inspection, 'total'>,
  tokens: number,
  settings: Pick<TrainSettings, 'steps' | 'batch' | 'accumulation' | 'optimiser' | 'device' | 'precision'>,
  gflops: number | null,
): Estimate {
  const { steps, batch, accumulation, optimiser, device, precision } = settings;
  const seen = steps * batch * tokens;
  const flops = 3 * total.flopsPerToken * seen;
  const rows = Math.ceil(batch / accumulation);
  // Weights and optimiser state, and the gradients of the parts before; those of one part are among what its step holds.
  const kept = 1 + STATE[optimiser] + Number(accumulation > 1);
  const held = total.held[device === 'cpu' ? precision : 'float32'];
  return {
    tokens: seen,
    flops,
    memoryBytes: total.parameters * FLOAT * kept + Math.max(0, ...held.map(({ once, each }) => once + rows * each)),
    seconds: gflops ? flops / (gflops * 1e9) : null,
  };
}
