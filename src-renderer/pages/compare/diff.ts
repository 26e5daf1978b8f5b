// What differs between the specs of several runs: nested keys flattened, blocks lined up before they are compared.
import { isBlock, isParallel, isRepeat, type Node } from '../../../src-main/spec/model';
import { complete, type Options } from '../../../src-main/spec/options';
import type { RunSpec } from '../../../src-main/spec/run';
import { stable } from './groups';

export interface DiffRow {
  /** `optimiser.lr`, `model.layers[2] mamba2 · headDim`. */
  path: string;
  /** Value of each run as text, in the order of the specs; null where the run has no such thing. */
  values: (string | null)[];
  /** Against the first run: a block that only others have, only the first has, or a value that differs. */
  kind: 'added' | 'removed' | 'changed';
}
export type OptionsOf = (block: string) => Options | undefined;

const text = (value: unknown): string => (typeof value === 'string' ? value : stable(value));

/** A plain object's leaves by dotted path; lists count as leaves. */
function flatten(value: unknown, path = ''): Map<string, string> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return new Map([[path, text(value)]]);
  const leaves = new Map<string, string>();
  for (const [key, child] of Object.entries(value))
    if (child !== undefined)
      for (const [at, leaf] of flatten(child, path ? `${path}.${key}` : key)) leaves.set(at, leaf);
  return leaves;
}

const titleOf = (node: Node): string => (isBlock(node) ? node.block : isRepeat(node) ? 'repeat' : 'parallel');

/**
 * Lines two lists up so that as many equal keys as possible stand beside each other (longest common subsequence);
 * each pair holds the index in the first and in the second list, null where one has nothing.
 */
export function align(a: readonly string[], b: readonly string[]): [number | null, number | null][] {
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i]![j] = a[i] === b[j] ? best[i + 1]![j + 1]! + 1 : Math.max(best[i + 1]![j]!, best[i]![j + 1]!);
  const pairs: [number | null, number | null][] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) pairs.push([i++, j++]);
    else if (j >= b.length || (i < a.length && best[i + 1]![j]! >= best[i]![j + 1]!)) pairs.push([i++, null]);
    else pairs.push([null, j++]);
  }
  return pairs;
}

/** One place in the stacks of all runs: the node each has there, null where it has none. */
interface Slot {
  title: string;
  nodes: (Node | null)[];
}

/** Lines up any number of stacks, each against what the ones before it made. */
function slotsOf(stacks: readonly (readonly Node[] | null)[]): Slot[] {
  let slots: Slot[] = [];
  for (const [run, stack] of stacks.entries()) {
    const nodes = stack ?? [];
    slots = align(
      slots.map(({ title }) => title),
      nodes.map(titleOf),
    ).map(([at, mine]) => {
      const slot: Slot = at === null ? { title: titleOf(nodes[mine!]!), nodes: Array(run).fill(null) } : slots[at]!;
      return { title: slot.title, nodes: [...slot.nodes, mine === null ? null : nodes[mine]!] };
    });
  }
  return slots;
}

/** A node's own settings, without what it holds; defaults filled in, so that saying one aloud is no difference. */
function settings(node: Node, optionsOf: OptionsOf): Map<string, string> {
  if (isRepeat(node)) return new Map([['times', String(node.repeat)]]);
  if (isParallel(node)) return new Map([['combine', node.combine]]);
  const options = complete(optionsOf(node.block) ?? {}, node.options);
  return flatten({ ...options, norm: node.norm ?? 'rms', residual: node.residual ?? true });
}

const kindOf = (values: readonly (string | null)[]): DiffRow['kind'] =>
  values.every((value) => value !== null) ? 'changed' : values[0] === null ? 'added' : 'removed';
const differ = (values: readonly (string | null)[]) => values.some((value) => value !== values[0]);

function stackRows(stacks: readonly (readonly Node[] | null)[], at: string, optionsOf: OptionsOf): DiffRow[] {
  return slotsOf(stacks).flatMap(({ title, nodes }, place): DiffRow[] => {
    const path = `${at}[${place}] ${title}`;
    const rows: DiffRow[] = [];
    const there = nodes.map((node) => (node ? title : null));
    if (differ(there)) rows.push({ path, values: there, kind: kindOf(there) });
    const maps = nodes.map((node) => node && settings(node, optionsOf));
    for (const key of new Set(maps.flatMap((map) => (map ? [...map.keys()] : [])))) {
      const values = maps.map((map) => map?.get(key) ?? null);
      // A run that lacks the block whole was named above; its options are compared among those that have it.
      const having = values.filter((_, i) => nodes[i] !== null);
      if (differ(having)) rows.push({ path: `${path} · ${key}`, values, kind: 'changed' });
    }
    if (nodes.some((node) => node && isRepeat(node)))
      rows.push(
        ...stackRows(
          nodes.map((node) => (node && isRepeat(node) ? node.layers : null)),
          `${path} · layers`,
          optionsOf,
        ),
      );
    if (nodes.some((node) => node && isParallel(node))) {
      const branches = nodes.map((node) => (node && isParallel(node) ? node.parallel : null));
      const most = Math.max(...branches.map((list) => list?.length ?? 0));
      for (let b = 0; b < most; b++)
        rows.push(
          ...stackRows(
            branches.map((list) => list?.[b] ?? null),
            `${path} · branch ${b}`,
            optionsOf,
          ),
        );
    }
    return rows;
  });
}

/** The differing rows only: the model's stack first, then the rest of the spec by path. */
export function diffSpecs(specs: readonly RunSpec[], optionsOf: OptionsOf = () => undefined): DiffRow[] {
  if (specs.length < 2) return [];
  const rest = specs.map(({ model, name: _name, ...spec }) => {
    const { layers: _layers, name: _model, ...shape } = model;
    return flatten({ model: shape, ...spec });
  });
  const rows = stackRows(
    specs.map(({ model }) => model.layers),
    'model.layers',
    optionsOf,
  );
  for (const path of new Set(rest.flatMap((map) => [...map.keys()]))) {
    const values = rest.map((map) => map.get(path) ?? null);
    if (differ(values)) rows.push({ path, values, kind: kindOf(values) });
  }
  return rows;
}

/** The first few differences of a run from another, in one line: `lr 0.001 › 0.003, + mamba2`. */
export function oneLine(rows: readonly DiffRow[], limit = 3): string {
  const said = rows.slice(0, limit).map(({ path, values, kind }) => {
    const name = path.split('.').at(-1)!;
    if (kind === 'added') return `+ ${values[1]}`.concat(values[1] && name.includes(values[1]) ? '' : ` (${name})`);
    if (kind === 'removed') return `− ${values[0]}`.concat(values[0] && name.includes(values[0]) ? '' : ` (${name})`);
    return `${name} ${values[0]} › ${values[1]}`;
  });
  return said.join(', ') + (rows.length > limit ? ` … +${rows.length - limit}` : '');
}
