// Makes a model as large as another: the hidden width of its MLPs is set so that the parameters match, or its own width where that can't.
import { isBlock, isParallel, isRepeat, type ModelSpec, type Node } from '../../../src-main/spec/model';

/** Sizes further apart than this share are told as a difference. */
export const FAIR = 0.02;

export interface Match {
  model: ModelSpec;
  /** What was set, and to which value. */
  knob: 'hidden' | 'width';
  value: number;
  parameters: number;
}
/** Parameters of a model; null for one that can not be built. */
export type Count = (model: ModelSpec) => Promise<number | null>;

/** By how much the largest exceeds the smallest, as a share. */
export const spreadOf = (parameters: readonly number[]): number =>
  parameters.length < 2 ? 0 : Math.max(...parameters) / Math.min(...parameters) - 1;

const mapBlocks = (nodes: readonly Node[], change: (block: string, options: object) => object): Node[] =>
  nodes.map((node): Node => {
    if (isRepeat(node)) return { ...node, layers: mapBlocks(node.layers, change) };
    if (isParallel(node)) return { ...node, parallel: node.parallel.map((branch) => mapBlocks(branch, change)) };
    const options = change(node.block, node.options ?? {});
    return options === node.options || (!node.options && Object.keys(options).length === 0)
      ? node
      : { ...node, options: options as Record<string, unknown> };
  });
const some = (nodes: readonly Node[], fits: (block: string) => boolean): boolean =>
  nodes.some((node) =>
    isBlock(node)
      ? fits(node.block)
      : (isRepeat(node) ? [node.layers] : node.parallel).some((list) => some(list, fits)),
  );

const LARGEST = 1 << 18;
/** Kernels read rows in pieces of this many numbers; a width that they divide is kept where the size is as good as the same. */
const PIECE = 16;
const SAME = 0.01;

/** The whole number in [low, high] whose model is nearest to the target; parameters grow with it. */
async function bisect(
  of: (value: number) => ModelSpec,
  target: number,
  count: Count,
  [low, high]: [number, number],
): Promise<{ value: number; parameters: number } | null> {
  let best: { value: number; parameters: number } | null = null;
  let [a, b] = [low, high];
  while (a <= b) {
    const value = (a + b) >> 1;
    const parameters = await count(of(value));
    // What is too wide to be built is too large.
    if (parameters === null) {
      b = value - 1;
      continue;
    }
    if (!best || Math.abs(parameters - target) < Math.abs(best.parameters - target)) best = { value, parameters };
    if (parameters === target) return best;
    if (parameters < target) a = value + 1;
    else b = value - 1;
  }
  return best;
}

/** Widths around the one that is likely to fit, in steps that heads divide: not every width can be built. */
async function tryWidths(
  model: ModelSpec,
  now: number,
  target: number,
  count: Count,
): Promise<{ value: number; parameters: number } | null> {
  // Parameters grow by the square of the width, those of the embedding in proportion.
  const likely = model.width * Math.sqrt(target / now);
  const step = model.width % 8 === 0 ? 8 : 1;
  let best: { value: number; parameters: number } | null = null;
  for (let away = 0; away <= 12; away++)
    for (const side of away ? [-1, 1] : [1]) {
      const value = Math.round(likely / step + side * away) * step;
      if (value < step) continue;
      const parameters = await count({ ...model, width: value });
      if (parameters !== null && (!best || Math.abs(parameters - target) < Math.abs(best.parameters - target)))
        best = { value, parameters };
    }
  return best;
}

/**
 * The model with as many parameters as `target`, as near as it comes. `hasHidden` tells the blocks whose option `hidden`
 * is the width within: those are set alike, since that leaves the blocks that mix tokens as they are. Null if nothing comes nearer.
 */
export async function matchParameters(
  model: ModelSpec,
  target: number,
  count: Count,
  hasHidden: (block: string) => boolean,
): Promise<Match | null> {
  const now = await count(model);
  if (now === null || now === target) return null;
  const withHidden = (hidden: number): ModelSpec => ({
    ...model,
    layers: mapBlocks(model.layers, (block, options) => (hasHidden(block) ? { ...options, hidden } : options)),
  });
  const answers: Match[] = [];
  if (some(model.layers, hasHidden)) {
    const found = await bisect(withHidden, target, count, [8, LARGEST]);
    const value = found && Math.max(PIECE, Math.round(found.value / PIECE) * PIECE);
    const parameters = value && (await count(withHidden(value)));
    if (value && parameters && Math.abs(parameters / target - 1) <= SAME)
      answers.push({ model: withHidden(value), knob: 'hidden', value, parameters });
    else if (found) answers.push({ model: withHidden(found.value), knob: 'hidden', ...found });
  }
  // An MLP of no width worth the name says that the rest is too large already.
  if (!answers.some(({ parameters }) => Math.abs(parameters / target - 1) <= FAIR)) {
    const found = await tryWidths(model, now, target, count);
    if (found) answers.push({ model: { ...model, width: found.value }, knob: 'width', ...found });
  }
  const off = ({ parameters }: { parameters: number }) => Math.abs(parameters - target);
  const best = answers.sort((a, b) => off(a) - off(b))[0];
  return best && off(best) < Math.abs(now - target) ? best : null;
}

/**
 * Brings models to the size of one of them: of that one which leaves the least spread, the first in the list where it is
 * fair enough. Some models change in large steps only, so the others have to come to them.
 */
export async function matchAll(
  models: readonly ModelSpec[],
  count: Count,
  hasHidden: (block: string) => boolean,
): Promise<{ like: number; spread: number; matches: (Match | null)[] } | null> {
  const sizes = await Promise.all(models.map(count));
  let best: { like: number; spread: number; matches: (Match | null)[] } | null = null;
  for (const [like, target] of sizes.entries()) {
    if (target === null) continue;
    const matches: (Match | null)[] = [];
    for (const [i, model] of models.entries()) {
      const near = i === like || Math.abs(sizes[i]! / target - 1) <= FAIR / 4;
      matches.push(near ? null : await matchParameters(model, target, count, hasHidden));
    }
    const spread = spreadOf(matches.flatMap((match, i) => match?.parameters ?? sizes[i] ?? []));
    if (!best || spread < best.spread) best = { like, spread, matches };
    if (spread <= FAIR) break;
  }
  return best;
}
