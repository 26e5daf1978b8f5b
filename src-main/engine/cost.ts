// What a model costs, counted from its spec alone: parameters, FLOPs, decode state and memory for the backward pass.
import { catalogue } from '../blocks';
import type { StateSpec } from '../blocks/define';
import type { Inspection, NodeFacts } from '../spec/inspection';
import { checkModel, isParallel, isRepeat, type ModelSpec, modelSchema, type Node, type Norm } from '../spec/model';
import type { ObjectiveKind, Precision } from '../spec/run';
import { problemsOf } from '../spec/zod';
import {
  causalProblems,
  misplaced,
  type Plan,
  type PlannedBlock,
  planModel,
  weightsAround,
  weightsOfBlock,
} from './plan';

export interface Context {
  /** Context length T. */
  tokens: number;
  vocabulary: number;
  /** What a cache that grows by a token a step is kept in while decoding. Default float32. */
  caches?: 'float32' | 'bfloat16';
}
export interface InspectContext extends Context {
  /** What the model is to learn; `auto`: to fill in masked tokens if a block looks at later ones, else the next token. Default: the next token. */
  objective?: ObjectiveKind | 'auto';
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
const numbersIn = (specs: Iterable<{ shape: readonly number[] }>): number =>
  [...specs].reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** Whether decoding appends a token a step to a state tensor, and keeps all of them. */
export const growsByToken = ({ shape, most }: StateSpec): boolean => most === undefined && shape.at(-2) === 'T';

/** The shape of a state tensor of one sequence after T tokens. */
export const stateShape = ({ shape, most = Number.POSITIVE_INFINITY, behind = 0 }: StateSpec, T: number): number[] =>
  shape.map((d) => (d === 'T' ? Math.max(0, Math.min(T - behind, most)) : d));

/** Bytes of a block's state a sequence after T tokens: float32, but for growing caches in bfloat16, of which each token takes whole words of two numbers. */
export function stateBytes(
  state: Record<string, StateSpec> | undefined,
  T: number,
  caches: Context['caches'] = 'float32',
): number {
  return Object.values(state ?? {}).reduce((sum, spec) => {
    const shape = stateShape(spec, T);
    const width = shape.pop() ?? 1;
    const words = caches === 'bfloat16' && growsByToken(spec) ? Math.ceil(width / 2) : width;
    return sum + 4 * sizeOf(shape) * words;
  }, 0);
}

/** Numbers that a norm keeps for its backward pass: its input, and one or two a token. */
const normKeeps = (norm: Norm, D: number, T: number): number =>
  ({ none: 0, rms: T * (D + 1), layer: T * (D + 2) })[norm];

interface Costs {
  parameters: number;
  forwardFlops: number;
  backwardFlops: number;
  stateBytes: number;
  /** Of a sequence. */
  savedBytes: number;
}
const none: Costs = { parameters: 0, forwardFlops: 0, backwardFlops: 0, stateBytes: 0, savedBytes: 0 };
const sum = (list: readonly Costs[]): Costs =>
  list.reduce(
    (a, b) => ({
      parameters: a.parameters + b.parameters,
      forwardFlops: a.forwardFlops + b.forwardFlops,
      backwardFlops: a.backwardFlops + b.backwardFlops,
      stateBytes: a.stateBytes + b.stateBytes,
      savedBytes: a.savedBytes + b.savedBytes,
    }),
    none,
  );

/** One block with its norm, a sequence of T tokens. */
function costOfBlock(planned: PlannedBlock, D: number, T: number, caches?: Context['caches']): Costs {
  const { block, options, norm } = planned;
  const cost = block.cost(options, D, T);
  return {
    parameters: numbersIn(weightsOfBlock(planned, D).values()),
    forwardFlops: cost.forwardFlops,
    backwardFlops: cost.backwardFlops,
    stateBytes: stateBytes(block.state?.(options, D), T, caches),
    savedBytes: 4 * (cost.savedNumbers + normKeeps(norm, D, T)),
  };
}

/** Embedding, positions, last norm and head. The look-up costs no FLOPs; norms are left out, as they are of every count here. */
function costAround(spec: ModelSpec, { tokens: T, vocabulary: V }: Context): Costs & { embeddings: number } {
  const { before, after } = weightsAround(spec, { tokens: T, vocabulary: V });
  const head = 2 * T * spec.width * V;
  const embeddings = numbersIn(before.values());
  return {
    parameters: embeddings + numbersIn(after.values()),
    embeddings,
    forwardFlops: head,
    backwardFlops: 2 * head,
    stateBytes: 0,
    // The last norm, the head's input, the logits and their log-sum-exp.
    savedBytes: 4 * (normKeeps(spec.finalNorm, spec.width, T) + T * (spec.width + V + 1)),
  };
}

/** Bytes that are held at a moment: `once`, and `each` for every sequence. */
export type Held = Inspection['total']['held'][Precision][number];

/** The moments at which most can be held, whatever the number of sequences: what is less in both numbers than another one never is the most. */
const most = (moments: readonly Held[]): Held[] =>
  moments.filter(
    (one, i) =>
      !moments.some(
        (other, k) => k !== i && other.once >= one.once && other.each >= one.each && (k < i || other.once > one.once || other.each > one.each), // biome-ignore format: one condition
      ),
  );

/**
 * What a training step holds beside weights and optimiser state at each moment of its backward pass: what the blocks not yet passed have kept, what
 * the one being passed works in, and the gradients of those behind it.
 */
function heldBy(plan: Plan, context: Context, precision: Precision): Held[] {
  const halves = precision === 'bfloat16';
  const { width: D } = plan.spec;
  const { tokens: T, vocabulary: V } = context;
  const around = costAround(plan.spec, context);
  const aroundBytes = around.savedBytes - (halves ? 2 * T * D : 0); // the head's input
  const blocks = plan.blocks.map((planned) => {
    const cost = planned.block.cost(planned.options, D, T);
    return {
      each: 4 * (cost.savedNumbers + normKeeps(planned.norm, D, T)) - (halves ? 2 * (cost.savedHalves ?? T * D) : 0),
      once: 4 * (cost.savedOnce ?? 0),
      works:
        4 * (cost.workingNumbers ?? 3 * T * D) -
        (halves ? 2 * ((cost.workingHalves ?? 0) - (cost.besideHalves ?? 0)) : 0),
      gradient: 4 * numbersIn(weightsOfBlock(planned, D).values()),
    };
  });
  let each = aroundBytes + blocks.reduce((total, block) => total + block.each, 0);
  let once = blocks.reduce((total, block) => total + block.once, 0);
  // Logits and their slopes; then the slopes of what the head read, and its gradient, which stays.
  const moments: Held[] = [
    { each: each + 4 * T * V, once },
    { each: each + 4 * T * (D - 1), once: once + 4 * D * V },
  ];
  each -= aroundBytes;
  once += 4 * D * V;
  for (const block of [...blocks].reverse()) {
    moments.push({ each: each + block.works, once: once + block.gradient / 2 }); // some of its own gradients are there by then
    each -= block.each;
    once += block.gradient - block.once;
  }
  // The look-up's gradient at last, and its sum with that of a head of the same weights.
  moments.push({ each: each + 4 * T * D, once: once + 4 * (plan.spec.head.tied ? 2 : 1) * D * V });
  return most(moments);
}

/** Bytes that a training step on `rows` sequences at a time works in, beside weights and optimiser state, where it is captured. */
export const workingBytes = (held: readonly Held[], rows: number): number =>
  Math.max(...held.map(({ each, once }) => each * rows + once));

/** Whole model, a sequence of T tokens. */
function costOf(plan: Plan, context: Context) {
  const around = costAround(plan.spec, context);
  const { width } = plan.spec;
  return {
    around,
    total: sum([around, ...plan.blocks.map((block) => costOfBlock(block, width, context.tokens, context.caches))]),
  };
}

/** FLOPs of one training step on `batch` sequences, forward and backward, multiply-add = 2; the optimiser is left out. */
export function stepFlops(spec: ModelSpec, context: Context & { batch: number }): number {
  const { total } = costOf(planModel(spec), context);
  return context.batch * (total.forwardFlops + total.backwardFlops);
}

/** Paths of all nodes, groups before their members, written as in the spec. */
function paths(nodes: readonly Node[], path: string): string[] {
  return nodes.flatMap((node, i) => {
    const at = `${path}[${i}]`;
    if (isRepeat(node)) return [at, ...paths(node.layers, `${at}.layers`)];
    if (isParallel(node)) return [at, ...node.parallel.flatMap((branch, b) => paths(branch, `${at}.parallel[${b}]`))];
    return [at];
  });
}

const EMPTY: Inspection['total'] = {
  parameters: 0,
  embeddingParameters: 0,
  flopsPerToken: 0,
  stateBytes: 0,
  savedBytes: 0,
  held: { float32: [], bfloat16: [] },
  blocks: 0,
};

/**
 * What the builder shows of a model: every problem, and the cost of each node and of the whole. Never throws for a wrong model.
 * A node inside a repeat counts all copies that come of it; a block with a problem counts nothing. Backward FLOPs are left out; `total.embeddingParameters` are those
 * of the token and position tables.
 */
export function inspect(model: unknown, { objective: wanted = 'next_token', ...context }: InspectContext): Inspection {
  const objective = wanted === 'auto' ? 'next_token' : wanted;
  const nothing = { nodes: [], total: EMPTY, objective, ahead: [] };
  const shaped = modelSchema.safeParse(model);
  if (!shaped.success) return { problems: problemsOf(shaped.error, 'model', model), ...nothing };
  const spec: ModelSpec = shaped.data;
  const problems = checkModel(spec, catalogue);
  // Too many blocks, or none: a problem of the whole stack.
  if (problems.some(({ path }) => path === 'model.layers')) return { problems, ...nothing };
  const wrong = problems.map(({ path }) => path);
  const plan = planModel(spec, { skip: (at) => wrong.some((path) => path.startsWith(`${at}.`)) });
  // Where a block is left out, the others do not stand where they will.
  if (problems.length === 0) problems.push(...misplaced(plan, context.tokens));
  const early = causalProblems(plan);
  if (wanted === 'next_token') problems.push(...early);
  const ahead = [...new Set(plan.blocks.flatMap(({ block, options }) => (block.causal(options) ? [] : [block.id])))];
  const T = context.tokens;
  const { around, total } = costOf(plan, context);
  const each = plan.blocks.map((block) => ({
    path: block.path,
    cost: costOfBlock(block, spec.width, T, context.caches),
  }));
  const nodes = paths(spec.layers, 'model.layers').map((path): NodeFacts => {
    const inside = (other: string) => other === path || other.startsWith(`${path}.`);
    const cost = sum(each.filter((one) => inside(one.path)).map((one) => one.cost));
    return {
      path,
      shape: `[B, ${T}, ${spec.width}]`,
      parameters: cost.parameters,
      flopsPerToken: cost.forwardFlops / T,
      stateBytes: cost.stateBytes,
      savedBytes: cost.savedBytes,
    };
  });
  return {
    problems,
    nodes,
    objective: wanted === 'auto' && ahead.length ? 'masked' : objective,
    ahead,
    total: {
      parameters: total.parameters,
      embeddingParameters: around.embeddings,
      flopsPerToken: total.forwardFlops / T,
      stateBytes: total.stateBytes,
      savedBytes: total.savedBytes,
      held: { float32: heldBy(plan, context, 'float32'), bfloat16: heldBy(plan, context, 'bfloat16') },
      blocks: plan.blocks.length,
    },
  };
}
