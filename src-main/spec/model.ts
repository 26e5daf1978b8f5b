// ModelSpec: a stack of blocks as plain data, and its check.
import { z } from 'zod';
import type { Catalogue } from './card';
import { type Problem, SpecError } from './error';
import { checkOptions, complete, nearest } from './options';
import { problemsOf } from './zod';

export const MODEL_FORMAT = 'archlab.model/1';

export type Norm = 'rms' | 'layer' | 'none';

/** One block with its options; `norm` stands before it, `residual` adds its input to its output. */
export interface BlockNode {
  block: string;
  options?: Record<string, unknown>;
  norm?: Norm;
  residual?: boolean;
}
/** A group of layers written once and built `repeat` times, each copy with weights of its own. */
export interface RepeatNode {
  repeat: number;
  layers: Node[];
}
/** Branches that read the same input; their outputs are added or averaged. */
export interface ParallelNode {
  parallel: Node[][];
  combine: 'sum' | 'mean';
}
export type Node = BlockNode | RepeatNode | ParallelNode;

export interface ModelSpec {
  format: typeof MODEL_FORMAT;
  name?: string;
  /** Width D of the stream `[B, T, D]`. */
  width: number;
  /** Added to the token embedding; blocks with rotary or recurrent order need none. */
  positions: 'none' | 'learned' | 'sinusoidal';
  layers: Node[];
  finalNorm: Norm;
  head: { tied: boolean };
  /** Shares that a training step sets to zero: of the embedded tokens, and of what each block adds to the stream. */
  dropout?: { embedding: number; branches: number };
}

export const isBlock = (node: Node): node is BlockNode => 'block' in node;
export const isRepeat = (node: Node): node is RepeatNode => 'repeat' in node;
export const isParallel = (node: Node): node is ParallelNode => 'parallel' in node;

const norm = z.enum(['rms', 'layer', 'none']);
const blockNode = z.strictObject({
  block: z.string().min(1).max(64),
  options: z.record(z.string(), z.unknown()).optional(),
  norm: norm.optional(),
  residual: z.boolean().optional(),
});
const repeatNode = z.strictObject({
  repeat: z.int().min(1).max(256),
  get layers() {
    return z.array(node).min(1).max(256);
  },
});
const parallelNode = z.strictObject({
  get parallel() {
    return z.array(z.array(node).min(1).max(64)).min(2).max(8);
  },
  combine: z.enum(['sum', 'mean']),
});
// Chosen by the key that is there, so that a message speaks of the node that was meant.
const node: z.ZodType<Node> = z.lazy(() =>
  z.unknown().transform((value, context): Node => {
    const has = (key: string) => typeof value === 'object' && value !== null && key in value;
    const schema = has('repeat') ? repeatNode : has('parallel') ? parallelNode : blockNode;
    const result = schema.safeParse(value);
    if (result.success) return result.data as Node;
    for (const issue of result.error.issues) context.addIssue({ ...issue, path: issue.path } as never);
    return z.NEVER;
  }),
);

const rate = z.number().min(0).max(0.95).default(0);

export const modelSchema = z.strictObject({
  format: z.literal(MODEL_FORMAT),
  name: z.string().max(200).optional(),
  width: z.int().min(1).max(16_384),
  positions: z.enum(['none', 'learned', 'sinusoidal']).default('none'),
  layers: z.array(node).max(256),
  finalNorm: norm.default('rms'),
  head: z.strictObject({ tied: z.boolean() }).default({ tied: true }),
  dropout: z.strictObject({ embedding: rate, branches: rate }).optional(),
});

/** Walks every node, groups before their members, with its dotted path below `model`. */
export function* walk(layers: readonly Node[], path = 'model.layers'): Generator<{ node: Node; path: string }> {
  for (const [i, node] of layers.entries()) {
    const at = `${path}[${i}]`;
    yield { node, path: at };
    if (isRepeat(node)) yield* walk(node.layers, `${at}.layers`);
    if (isParallel(node))
      for (const [b, branch] of node.parallel.entries()) yield* walk(branch, `${at}.parallel[${b}]`);
  }
}

const MAX_BLOCKS = 4096;

/** The number of blocks that will be built, repeats multiplied out. */
export function countBlocks(layers: readonly Node[]): number {
  let count = 0;
  for (const node of layers) {
    if (isRepeat(node)) count += node.repeat * countBlocks(node.layers);
    else if (isParallel(node)) count += node.parallel.reduce((sum, branch) => sum + countBlocks(branch), 0);
    else count += 1;
  }
  return count;
}

/** What is wrong with a model that has the right shape: unknown blocks, options out of range, sizes that do not go together. */
export function checkModel(model: ModelSpec, catalogue: Catalogue): Problem[] {
  const problems: Problem[] = [];
  const known = [...catalogue].filter(([, card]) => card.role !== 'operator').map(([id]) => id);
  if (model.layers.length === 0)
    problems.push({ path: 'model.layers', message: 'the stack is empty', hint: 'add a block from the palette' });
  const total = countBlocks(model.layers);
  if (total > MAX_BLOCKS)
    problems.push({
      path: 'model.layers',
      message: `${total} blocks once repeats are multiplied out; at most ${MAX_BLOCKS} fit`,
    });
  for (const { node, path } of walk(model.layers)) {
    if (!isBlock(node)) continue;
    const rules = catalogue.get(node.block);
    if (!rules || rules.role === 'operator') {
      const near = nearest(node.block, known);
      problems.push({
        path: `${path}.block`,
        message: `unknown block ${JSON.stringify(node.block)}; known are ${known.join(', ')}`,
        hint: near ? `did you mean ${near}?` : undefined,
        fix: near,
      });
      continue;
    }
    const wrong = checkOptions(rules.options, node.options ?? {}, `${path}.options`);
    problems.push(...wrong);
    if (wrong.length === 0 && rules.rules)
      problems.push(...rules.rules(complete(rules.options, node.options), model.width, `${path}.options`));
  }
  return problems;
}

/**
 * Reads a ModelSpec from untrusted data.
 * @throws SpecError naming each path, what came, what fits and what to try.
 */
export function parseModel(value: unknown, catalogue: Catalogue, path = 'model'): ModelSpec {
  const result = modelSchema.safeParse(value);
  if (!result.success) throw new SpecError(problemsOf(result.error, path, value));
  const problems = checkModel(result.data, catalogue);
  if (problems.length) throw new SpecError(problems);
  return result.data;
}
