// A ModelSpec as the tree that will be built: repeats written out, blocks numbered, options complete, every weight named.
import { blocks } from '../blocks';
import type { AnyBlock, WeightSpec } from '../blocks/define';
import { USUAL } from '../spec/card';
import { type Problem, SpecError } from '../spec/error';
import { isBlock, isParallel, isRepeat, type ModelSpec, type Node, type Norm } from '../spec/model';
import { complete } from '../spec/options';

export interface PlannedBlock {
  kind: 'block';
  /** Counts built blocks from 0 in order; its weights are named `layers.<index>.…`. */
  index: number;
  /** Path of its node in the spec; copies of a repeat share it. */
  path: string;
  block: AnyBlock;
  options: Record<string, unknown>;
  norm: Norm;
  residual: boolean;
}
export interface PlannedParallel {
  kind: 'parallel';
  path: string;
  branches: Planned[][];
  combine: 'sum' | 'mean';
}
export type Planned = PlannedBlock | PlannedParallel;

export interface Plan {
  spec: ModelSpec;
  layers: Planned[];
  /** All blocks in order. */
  blocks: PlannedBlock[];
  /** Blocks with a residual: weights marked `branch` are divided by the square root of this. */
  branches: number;
  /** A training step draws random numbers. */
  random: boolean;
}

/**
 * Plans a checked model; `skip` leaves out block nodes by their path.
 * @throws SpecError for an unknown block; everything else is for `parseModel` to have found.
 */
export function planModel(spec: ModelSpec, { skip }: { skip?(path: string): boolean } = {}): Plan {
  const list: PlannedBlock[] = [];
  const place = (nodes: readonly Node[], path: string): Planned[] =>
    nodes.flatMap((node, i): Planned[] => {
      const at = `${path}[${i}]`;
      if (isRepeat(node)) return Array.from({ length: node.repeat }, () => place(node.layers, `${at}.layers`)).flat();
      if (isParallel(node)) {
        const branches = node.parallel.map((branch, b) => place(branch, `${at}.parallel[${b}]`));
        return [{ kind: 'parallel', path: at, branches, combine: node.combine }];
      }
      if (skip?.(at)) return [];
      const block = isBlock(node) ? blocks.get(node.block) : undefined;
      if (!block)
        throw new SpecError(
          `unknown block ${JSON.stringify(node.block)}; known are ${[...blocks.keys()].join(', ')}`,
          `${at}.block`,
        );
      const planned: PlannedBlock = {
        kind: 'block',
        index: list.length,
        path: at,
        block,
        options: complete(block.options, node.options),
        norm: node.norm ?? (block.usual ?? USUAL).norm,
        residual: node.residual ?? (block.usual ?? USUAL).residual,
      };
      list.push(planned);
      return [planned];
    });
  const layers = place(spec.layers, 'model.layers');
  const ids = list.map(({ block }) => block.id);
  const roles = list.map(({ block }) => block.role);
  for (const planned of list)
    planned.options = planned.block.placed?.(planned.options, { ids, roles, index: planned.index }) ?? planned.options;
  const { embedding = 0, branches = 0 } = spec.dropout ?? {};
  const random = embedding > 0 || branches > 0 || list.some(({ block, options }) => block.random?.(options) ?? false);
  return { spec, layers, blocks: list, branches: list.filter((b) => b.residual).length, random };
}

/** Blocks whose outputs depend on later tokens, as problems: a model that predicts the next token can't hold them. One for each node of the spec. */
export function causalProblems(plan: Plan): Problem[] {
  const seen = new Set<string>();
  return plan.blocks.flatMap(({ block, options, path }): Problem[] => {
    if (block.causal(options) || seen.has(path)) return [];
    seen.add(path);
    const message = `${block.id} looks at later tokens here, and a model that predicts the next token must not`;
    if (!('causal' in block.options)) {
      const hint = 'take a causal block instead, or train the model to fill in masked tokens';
      return [{ path: `${path}.block`, message, hint }];
    }
    const hint = 'set causal to true, or train the model to fill in masked tokens';
    return [{ path: `${path}.options.causal`, message, hint, fix: true }];
  });
}

/** What does not fit where blocks stand, for sequences of so many tokens at most: of each node of the spec its first copy, which has the least before it. */
export function misplaced({ blocks }: Plan, tokens: number): Problem[] {
  const seen = new Set<string>();
  return blocks.flatMap(({ block, options, path }, i): Problem[] => {
    if (!block.fits || seen.has(path)) return [];
    seen.add(path);
    const before = blocks.slice(0, i).map((one) => ({ id: one.block.id, options: one.options }));
    return block.fits(options, { before, tokens }, `${path}.options`);
  });
}

/** Weights of a norm over D channels, by the suffix of their name. */
function normWeights(norm: Norm, name: string, D: number): [string, WeightSpec][] {
  if (norm === 'none') return [];
  const weight: WeightSpec = { shape: [D], init: { kind: 'ones' } };
  const bias: WeightSpec = { shape: [D], init: { kind: 'zeros' } };
  return norm === 'rms'
    ? [[name, weight]]
    : [
        [name, weight],
        [`${name}_bias`, bias],
      ];
}

/** The weights of one planned block with its norm, by full name. */
export function weightsOfBlock({ index, block, options, norm }: PlannedBlock, D: number): Map<string, WeightSpec> {
  const prefix = `layers.${index}`;
  const own = Object.entries(block.weights(options, D)).map(([name, spec]): [string, WeightSpec] => [
    `${prefix}.${name}`,
    spec,
  ]);
  return new Map([...normWeights(norm, `${prefix}.norm`, D), ...own]);
}

/** Spread of embeddings and positions at the start. */
export const EMBEDDING_STD = 0.02;

/** The weights around the blocks: token and position tables, the last norm, the head; Muon leaves them to AdamW. */
export function weightsAround(spec: ModelSpec, sizes: { vocabulary: number; tokens: number }) {
  const { width: D } = spec;
  const table = (rows: number): WeightSpec => ({
    shape: [rows, D],
    init: { kind: 'normal', std: EMBEDDING_STD },
    muon: false,
  });
  const before = new Map<string, WeightSpec>([['embedding', table(sizes.vocabulary)]]);
  if (spec.positions === 'learned') before.set('positions', table(sizes.tokens));
  const after = new Map<string, WeightSpec>(normWeights(spec.finalNorm, 'final_norm', D));
  if (!spec.head.tied) after.set('head', { ...table(0), shape: [D, sizes.vocabulary] });
  return { before, after };
}

/** Every weight in order: `embedding`, `positions`, `layers.<n>.…`, `final_norm`, `head`. */
export function weightsOf(plan: Plan, sizes: { vocabulary: number; tokens: number }): Map<string, WeightSpec> {
  const { before, after } = weightsAround(plan.spec, sizes);
  const blocks = plan.blocks.flatMap((block) => [...weightsOfBlock(block, plan.spec.width)]);
  return new Map([...before, ...blocks, ...after]);
}
