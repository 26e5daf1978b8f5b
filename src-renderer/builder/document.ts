// Edits of a model as pure functions: each takes a ModelSpec and gives a new one that shares what did not change.
import { isBlock, isParallel, isRepeat, type ModelSpec, type Node } from '../../src-main/spec/model';
import { carryKey } from './keys';

/**
 * Where a node stands: the index in the stack, then in each group on the way; a branch counts as an index of its own.
 * `[2, 0]` is the first layer of the repeat at 2, `[3, 1, 0]` the first of branch 1 of the parallel at 3.
 */
export type Path = readonly number[];
/** Neighbours in one list. A list's path is that of its group (and branch), `[]` for the stack itself. */
export interface Range {
  list: Path;
  start: number;
  count: number;
}
/** What an edit gives: the new model, and what should be selected in it. */
export interface Edit {
  model: ModelSpec;
  select: Range | null;
}

const known = new Map<string, Path>();
/** The one array for a path, so that what is drawn from it is drawn anew only when the path is another. */
export function stablePath(path: Path): Path {
  const key = path.join('.');
  const before = known.get(key);
  if (before) return before;
  known.set(key, path);
  return path;
}

export const samePath = (a: Path, b: Path): boolean => a.length === b.length && a.every((x, i) => x === b[i]);
const startsWith = (path: Path, head: Path): boolean =>
  head.length <= path.length && head.every((x, i) => x === path[i]);
export const parentList = (path: Path): Path => path.slice(0, -1);
export const lastIndex = (path: Path): number => path[path.length - 1];
export const rangeAt = (path: Path, count = 1): Range => ({ list: parentList(path), start: lastIndex(path), count });
export const firstOf = ({ list, start }: Range): Path => [...list, start];

/** The lists inside a node: one of a repeat, one a branch of a parallel, none of a block. */
export const listsOf = (node: Node): readonly Node[][] =>
  isRepeat(node) ? [node.layers] : isParallel(node) ? node.parallel : [];

/** The paths of the lists inside the node at `path`, in the order of `listsOf`. */
export const listPaths = (node: Node, path: Path): Path[] =>
  isRepeat(node) ? [path] : isParallel(node) ? node.parallel.map((_, branch) => [...path, branch]) : [];

function copy<N extends Node>(node: N, change: Partial<N>): N {
  return carryKey(node, { ...node, ...change });
}

/** The list at a path. @throws when nothing with lists stands there, which is a mistake of ours. */
export function listAt(layers: readonly Node[], list: Path): readonly Node[] {
  if (list.length === 0) return layers;
  const [index, ...rest] = list;
  const node = layers[index];
  if (node && isRepeat(node)) return listAt(node.layers, rest);
  if (node && isParallel(node) && node.parallel[rest[0]]) return listAt(node.parallel[rest[0]], rest.slice(1));
  throw new Error(`internal: no list of layers at ${list.join('.')}`);
}

/** The node at a path, undefined where there is none. */
export function nodeAt(layers: readonly Node[], path: Path): Node | undefined {
  try {
    return path.length ? listAt(layers, parentList(path))[lastIndex(path)] : undefined;
  } catch {
    return undefined;
  }
}

function withList(layers: readonly Node[], list: Path, change: (siblings: readonly Node[]) => Node[]): Node[] {
  if (list.length === 0) return change(layers);
  const [index, ...rest] = list;
  const node = layers[index];
  const put = (next: Node) => layers.map((old, i) => (i === index ? next : old));
  if (node && isRepeat(node)) return put(copy(node, { layers: withList(node.layers, rest, change) }));
  if (node && isParallel(node))
    return put(
      copy(node, {
        parallel: node.parallel.map((branch, b) => (b === rest[0] ? withList(branch, rest.slice(1), change) : branch)),
      }),
    );
  throw new Error(`internal: no list of layers at ${list.join('.')}`);
}

/** Takes away what became empty: groups without layers, branches without layers, parallels of one branch. */
function pruned(layers: readonly Node[]): Node[] {
  return layers.flatMap((node): Node[] => {
    if (isRepeat(node)) {
      const inner = pruned(node.layers);
      return inner.length === 0 ? [] : [same(inner, node.layers) ? node : copy(node, { layers: inner })];
    }
    if (isParallel(node)) {
      const branches = node.parallel.map(pruned);
      const full = branches.filter((branch) => branch.length > 0);
      if (full.length < 2) return full[0] ?? [];
      const unchanged = full.length === node.parallel.length && full.every((b, i) => same(b, node.parallel[i]));
      return [unchanged ? node : copy(node, { parallel: full })];
    }
    return [node];
  });
}
const same = (a: readonly Node[], b: readonly Node[]) => a.length === b.length && a.every((node, i) => node === b[i]);

/** Where a node, the very object, stands. */
function pathOf(layers: readonly Node[], wanted: Node, list: Path = []): Path | undefined {
  for (const [i, node] of layers.entries()) {
    const path = [...list, i];
    if (node === wanted) return path;
    const inside = listPaths(node, path);
    for (const [l, inner] of listsOf(node).entries()) {
      const found = pathOf(inner, wanted, inside[l]);
      if (found) return found;
    }
  }
  return undefined;
}

/** A copy with nothing shared, so that the same node never stands in two places. */
export const cloneNodes = (nodes: readonly Node[]): Node[] => JSON.parse(JSON.stringify(nodes)) as Node[];

const nodesIn = (model: ModelSpec, { list, start, count }: Range) =>
  listAt(model.layers, list).slice(start, start + count);
const edited = (model: ModelSpec, layers: Node[], select: Range | null): Edit => ({
  model: { ...model, layers },
  select,
});

/** Puts nodes in at a gap: the path that the first of them will have. */
export function insert(model: ModelSpec, gap: Path, nodes: readonly Node[]): Edit {
  const at = lastIndex(gap);
  const layers = withList(model.layers, parentList(gap), (siblings) => [
    ...siblings.slice(0, at),
    ...nodes,
    ...siblings.slice(at),
  ]);
  return edited(model, layers, nodes.length ? rangeAt(gap, nodes.length) : null);
}

/** Takes nodes out; the neighbour that moves up is selected, or the one before, or the group around. */
export function remove(model: ModelSpec, range: Range): Edit {
  const { list, start, count } = range;
  const siblings = listAt(model.layers, list);
  const neighbour = siblings[start + count] ?? siblings[start - 1];
  const layers = pruned(withList(model.layers, list, (old) => [...old.slice(0, start), ...old.slice(start + count)]));
  const at = neighbour && pathOf(layers, neighbour);
  if (at) return edited(model, layers, rangeAt(at));
  const around = list.length ? Math.min(list[0], layers.length - 1) : -1;
  return edited(model, layers, around >= 0 ? rangeAt([around]) : null);
}

/** True if dropping the range at the gap would change nothing or put it into itself. */
export function isIdleMove({ list, start, count }: Range, gap: Path): boolean {
  if (gap.length === list.length + 1 && startsWith(gap, list)) {
    const index = lastIndex(gap);
    return index >= start && index <= start + count;
  }
  if (!startsWith(gap, list)) return false;
  const through = gap[list.length];
  return through >= start && through < start + count;
}

/** Moves nodes to a gap, in or out of groups. The model itself comes back where the move would be idle. */
export function move(model: ModelSpec, range: Range, gap: Path): Edit {
  if (isIdleMove(range, gap)) return { model, select: range };
  const nodes = nodesIn(model, range);
  const inserted = insert(model, gap, nodes).model.layers;
  // The old place moved along if the new one is in front of it, in its list or in a list around it.
  const old = [...range.list, range.start];
  const level = gap.length - 1;
  if (old.length > level && startsWith(old, parentList(gap)) && old[level] >= gap[level]) old[level] += nodes.length;
  const at = lastIndex(old);
  const cut = withList(inserted, parentList(old), (siblings) => [
    ...siblings.slice(0, at),
    ...siblings.slice(at + nodes.length),
  ]);
  const layers = pruned(cut);
  const found = pathOf(layers, nodes[0]);
  return edited(model, layers, found ? rangeAt(found, nodes.length) : null);
}

/** Puts a copy of the nodes right after them. */
export function duplicate(model: ModelSpec, range: Range): Edit {
  return insert(model, [...range.list, range.start + range.count], cloneNodes(nodesIn(model, range)));
}

function wrap(model: ModelSpec, range: Range, make: (nodes: Node[]) => Node): Edit {
  const { list, start, count } = range;
  const layers = withList(model.layers, list, (siblings) => [
    ...siblings.slice(0, start),
    make([...siblings.slice(start, start + count)]),
    ...siblings.slice(start + count),
  ]);
  return edited(model, layers, rangeAt([...list, start]));
}

/** Makes a repeat group of the nodes. */
export const group = (model: ModelSpec, range: Range, repeat = 2): Edit =>
  wrap(model, range, (layers) => ({ repeat, layers }));

/** Makes the nodes one branch of two; the other begins as a copy of them. */
export const branch = (model: ModelSpec, range: Range): Edit =>
  wrap(model, range, (nodes) => ({ parallel: [nodes, cloneNodes(nodes)], combine: 'sum' }));

/** Puts the layers of a group in its place, once; of a parallel, the branches one after another. */
export function ungroup(model: ModelSpec, path: Path): Edit {
  const node = nodeAt(model.layers, path);
  if (!node || isBlock(node)) return { model, select: rangeAt(path) };
  const inner = listsOf(node).flat();
  const at = lastIndex(path);
  const layers = withList(model.layers, parentList(path), (siblings) => [
    ...siblings.slice(0, at),
    ...inner,
    ...siblings.slice(at + 1),
  ]);
  return edited(model, layers, rangeAt(path, inner.length));
}

/** Changes one node; the others stay the objects that they were. */
export function patch(model: ModelSpec, path: Path, change: (node: Node) => Node): Edit {
  const layers = withList(model.layers, parentList(path), (siblings) =>
    siblings.map((node, i) => (i === lastIndex(path) ? carryKey(node, change(node)) : node)),
  );
  return edited(model, layers, rangeAt(path));
}

/** Sets an option of a block; undefined resets it to the default, and leaves no trace in the document. */
export function setOption(model: ModelSpec, path: Path, name: string, value: unknown): Edit {
  return patch(model, path, (node) => {
    if (!isBlock(node)) return node;
    const { options = {}, ...rest } = node;
    const next = { ...options, [name]: value };
    if (value === undefined) delete next[name];
    return Object.keys(next).length ? { ...rest, options: next } : rest;
  });
}

/** Every gap in the order of the picture; closed groups keep theirs to themselves. */
export function* gaps(
  layers: readonly Node[],
  isClosed: (node: Node) => boolean = () => false,
  list: Path = [],
): Generator<Path> {
  for (const [i, node] of layers.entries()) {
    const path = [...list, i];
    yield path;
    if (isClosed(node)) continue;
    const paths = listPaths(node, path);
    for (const [l, inner] of listsOf(node).entries()) yield* gaps(inner, isClosed, paths[l]);
  }
  yield [...list, layers.length];
}

/** Every node in the order of the picture, groups before their layers. */
export function* nodes(
  layers: readonly Node[],
  isClosed: (node: Node) => boolean = () => false,
  list: Path = [],
): Generator<{ node: Node; path: Path }> {
  for (const [i, node] of layers.entries()) {
    const path = [...list, i];
    yield { node, path };
    if (isClosed(node)) continue;
    const paths = listPaths(node, path);
    for (const [l, inner] of listsOf(node).entries()) yield* nodes(inner, isClosed, paths[l]);
  }
}

/** Moves nodes one gap up (-1) or down (+1), into open groups and out of them. */
export function moveBy(
  model: ModelSpec,
  range: Range,
  direction: -1 | 1,
  isClosed: (node: Node) => boolean = () => false,
): Edit {
  const edge: Path = [...range.list, range.start + (direction > 0 ? range.count : 0)];
  const inside = (gap: Path) => isIdleMove(range, gap) && !samePath(gap, edge);
  const all = [...gaps(model.layers, isClosed)].filter((gap) => !inside(gap));
  const next = all[all.findIndex((gap) => samePath(gap, edge)) + direction];
  return next ? move(model, range, next) : { model, select: range };
}

/** The path as specs and problems write it: `model.layers[2].parallel[1][0]`. */
export function dotted(layers: readonly Node[], path: Path): string {
  let at = 'model.layers';
  let list = layers;
  for (let i = 0; i < path.length; i++) {
    at += `[${path[i]}]`;
    const node = list[path[i]];
    if (i === path.length - 1 || !node) break;
    if (isRepeat(node)) {
      at += '.layers';
      list = node.layers;
    } else if (isParallel(node)) {
      i += 1;
      at += `.parallel[${path[i]}]`;
      list = node.parallel[path[i]] ?? [];
    }
  }
  return at;
}

/** Splits a problem's path into the node it speaks of and the field below: `[2]` and `options.heads`. */
export function locate(path: string): { node: Path; field: string } {
  const below = path.match(/^model\.layers((?:\[\d+\]|\.layers(?=\[)|\.parallel(?=\[))+)\.?(.*)$/);
  if (!below) return { node: [], field: path.replace(/^model\.?/, '') };
  return { node: [...below[1].matchAll(/\[(\d+)\]/g)].map((hit) => Number(hit[1])), field: below[2] };
}

function setDeep(target: unknown, keys: readonly string[], value: unknown): unknown {
  if (keys.length === 0) return value;
  const [key, ...rest] = keys;
  const record = (typeof target === 'object' && target !== null ? target : {}) as Record<string, unknown>;
  return { ...record, [key]: setDeep(record[key], rest, value) };
}

/** Puts a problem's `fix` where the problem arose. */
export function applyFix(model: ModelSpec, path: string, fix: unknown): Edit {
  const { node, field } = locate(path);
  const keys = field.split('.').filter(Boolean);
  if (node.length === 0) return { model: setDeep(model, keys, fix) as ModelSpec, select: null };
  return patch(model, node, (old) => setDeep(old, keys, fix) as Node);
}
