// ModelSpec to model: weights drawn from the seed, the stack run over whole sequences, the loss, and decoding token by token.
import type { Scalar, Tensor, Tensor1D, Tensor2D, Tensor3D, Variable } from '@tensorflow/tfjs-core';
import type { Chance, Init, LayerContext, WeightSpec } from '../blocks/define';
import { dropped } from '../blocks/parts/dropout';
import { keepTogether, tf } from '../ops';
import { SpecError } from '../spec/error';
import type { ModelSpec } from '../spec/model';
import { stream } from '../spec/random';
import { begin, type DecodeOptions, type DecodeState, decodeStep, stateAfter } from './decode';
import { causalProblems, misplaced, type PlannedBlock, planModel, weightsOf } from './plan';
import { enter, leave, leaveWithLoss, runPlanned, type Stack } from './stack';

export interface BuildOptions {
  /** Token ids run from 0 to `vocabulary - 1`. */
  vocabulary: number;
  /** Context length T: the rows of a learned position table. */
  tokens: number;
  /** Fixes the weights, each by its name alone. */
  seed: number;
  /** 'causal' (default) refuses blocks that look at later tokens; 'any' takes them, and the model can't decode. */
  order?: 'causal' | 'any';
}
export interface LossOptions {
  labelSmoothing?: number;
  /** True in a training step: what is meant for evaluation only stays out. */
  training?: boolean;
  /** int32 [2], step and first row of the batch: dropout draws by it in a training step, and does nothing without it. */
  counter?: Tensor;
}

interface PassContext {
  training?: boolean;
  counter?: Tensor;
  seen?(block: PlannedBlock, y: Tensor3D): void;
}

export interface Model {
  spec: ModelSpec;
  vocabulary: number;
  weights: Map<string, Variable>;
  specs: Map<string, WeightSpec>;
  /** Numbers in all weights. */
  parameters: number;
  /** No output depends on a later token. */
  causal: boolean;
  /** A training step draws random numbers: it wants a counter. */
  random: boolean;
  /** Longest sequence it can read; undefined where there is no limit. */
  maxTokens: number | undefined;
  /** tokens int32 [B, T] to [B, T, V]. `seen` is called with the output [B, T, D] of each block, before a residual is added to it. */
  logits(tokens: Tensor2D, context?: PassContext): Tensor3D;
  /** inputs and targets int32 [B, T], mask float32 [B, T] (1: graded) to the mean loss in nats over graded tokens. */
  loss(inputs: Tensor2D, targets: Tensor2D, mask: Tensor2D | undefined, options?: LossOptions): Scalar;
  /** The state before the first token, for `batch` sequences. */
  begin(batch: number, options?: DecodeOptions): DecodeState;
  /** A state shaped as after `tokens` tokens, its numbers from `fill`: for measuring. */
  stateAfter(batch: number, tokens: number, fill: (shape: number[]) => Tensor): DecodeState;
  /** One token of each sequence, int32 [B]; frees what it replaces of `state`. */
  step(tokens: Tensor1D, state: DecodeState): { logits: Tensor2D; state: DecodeState };
  /** Frees the weights. */
  dispose(): void;
}

/** Starting values of one weight: they depend on the seed, its name and its shape only. */
export function initialValues(seed: number, name: string, { shape, init }: WeightSpec, branches: number): Float32Array {
  const values = new Float32Array(shape.reduce((n, d) => n * d, 1));
  const draw = stream('weight', seed, name);
  const value: Record<Init['kind'], (i: number) => number> = {
    zeros: () => 0,
    ones: () => 1,
    normal: () => (init.kind === 'normal' ? init.std * draw.normal() : 0),
    uniform: () => (init.kind === 'uniform' ? init.bound * (2 * draw.uniform() - 1) : 0),
    drawn: (i) => (init.kind === 'drawn' ? init.value(draw, i) : 0),
  };
  const scale = 'branch' in init && init.branch ? 1 / Math.sqrt(Math.max(1, branches)) : 1;
  const one = value[init.kind];
  for (let i = 0; i < values.length; i++) values[i] = scale * one(i);
  return values;
}

let built = 0;

/**
 * Builds a checked model. The caller disposes of it.
 * @throws SpecError where a block does not fit where it stands, or looks at later tokens and the order is causal, naming the block and its path.
 */
export function buildModel(spec: ModelSpec, { vocabulary, tokens, seed, order = 'causal' }: BuildOptions): Model {
  const plan = planModel(spec);
  const early = causalProblems(plan);
  const wrong = [...misplaced(plan, tokens), ...(order === 'causal' ? early : [])];
  if (wrong.length) throw new SpecError(wrong);
  const causal = early.length === 0;
  const specs = weightsOf(plan, { vocabulary, tokens });
  const weights = new Map<string, Variable>();
  let parameters = 0;
  const id = ++built; // TF.js wants every variable's name to be its own
  for (const [name, one] of specs) {
    const values = initialValues(seed, name, one, plan.branches);
    parameters += values.length;
    const start = tf.tensor(values, [...one.shape]);
    weights.set(name, tf.variable(start, true, `model${id}/${name}`));
    start.dispose();
  }
  keepTogether(weights.values());

  const stack: Stack = {
    ...plan,
    weight(name) {
      const found = weights.get(name);
      if (!found) throw new Error(`internal: the model has no weight ${name}`);
      return found;
    },
    own: ({ index, block, options }) =>
      Object.fromEntries(
        Object.keys(block.weights(options, spec.width)).map((name) => [name, stack.weight(`layers.${index}.${name}`)]),
      ),
  };
  const maxTokens = spec.positions === 'learned' ? tokens : undefined;

  /** ids [B, T] to the stream behind all blocks. */
  function through(ids: Tensor2D, { training, counter, seen }: PassContext & { training: boolean }): Tensor3D {
    const [B, T] = ids.shape;
    if (B < 1 || T < 1)
      throw new SpecError(`the model wants at least one sequence of at least one token, not tokens [${B}, ${T}]`);
    if (maxTokens !== undefined && T > maxTokens) throw tooLong(T, maxTokens);
    const chance = training && counter ? { seed, counter } : undefined;
    const rate = spec.dropout?.embedding ?? 0;
    const x = dropped(enter(stack, ids, 0), rate, chance && { ...chance, site: EMBEDDING_SITE });
    return runLayers(stack, x, { training, chance, seen });
  }

  const model: Model = {
    spec,
    vocabulary,
    weights,
    specs,
    parameters,
    causal,
    random: plan.random,
    maxTokens,
    logits: (ids, { training = false, counter, seen } = {}) =>
      tf.tidy(() => leave(stack, through(ids, { training, counter, seen })) as Tensor3D),
    loss: (inputs, targets, mask, { labelSmoothing = 0, training = false, counter } = {}) =>
      tf.tidy(() => leaveWithLoss(stack, through(inputs, { training, counter }), targets, mask, labelSmoothing)),
    begin: (batch, options) => begin(stack, batch, causal, options),
    stateAfter: (batch, count, fill) => stateAfter(stack, batch, causal, count, fill),
    step(ids, state) {
      if (maxTokens !== undefined && state.position >= maxTokens) throw tooLong(state.position + 1, maxTokens);
      return decodeStep(stack, ids, state);
    },
    dispose() {
      for (const weight of weights.values()) weight.dispose();
      weights.clear();
    },
  };
  return model;
}

const tooLong = (came: number, fits: number) =>
  new SpecError([
    {
      path: 'model.positions',
      message: `${came} tokens do not fit a learned table of ${fits} positions`,
      hint: 'give shorter sequences, or take rotary or sinusoidal positions',
    },
  ]);

/** Places of dropout: of the embedding, and of a block (by its index) itself and the branch that it is. */
const EMBEDDING_SITE = 0;
const siteOf = (index: number) => 2 * index + 1;
const branchSiteOf = (index: number) => 2 * index + 2;

interface Passing extends Pick<PassContext, 'seen'> {
  training: boolean;
  chance: Omit<Chance, 'site'> | undefined;
}

/** The stream [B, T, D] through all blocks, whole sequences at once. */
function runLayers(stack: Stack, x: Tensor3D, { training, chance, seen }: Passing): Tensor3D {
  const shared = {};
  const rate = stack.spec.dropout?.branches ?? 0;
  return runPlanned(stack, stack.layers, x, (planned, u) => {
    const { index, options, residual } = planned;
    const own = chance && { ...chance, site: siteOf(index) };
    const context: LayerContext<PlannedBlock['options']> = { options, training, chance: own, shared };
    const y = planned.block.layer.forward(u, stack.own(planned), context);
    seen?.(planned, y);
    return residual ? dropped(y, rate, chance && { ...chance, site: branchSiteOf(index) }) : y;
  });
}
