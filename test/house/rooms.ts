// Which room may import which: the `->` column of docs/architecture.md as data, and the judgement over one import.
import { importsOf, type Source, target } from './source';

/** `spec` is open to all of src-main and src-renderer and is not listed. `types:` admits type imports only. */
const MAIN: Record<string, readonly string[]> = {
  spec: [],
  ops: ['kernels'],
  blocks: ['ops', 'kernels'],
  tasks: [],
  engine: ['ops', 'blocks'],
  train: ['engine', 'tasks', 'log', 'ops', 'blocks'],
  log: [],
  store: ['db'],
  runs: ['log', 'store'],
  rpc: ['runs', 'store', 'engine', 'ops', 'blocks', 'tasks'],
  hosts: ['rpc', 'runs', 'store', 'log', 'engine', 'blocks', 'tasks'],
  analyses: ['engine'],
  recipes: [],
  'index.ts': ['hosts'],
  'preload.ts': ['hosts', 'types:rpc'],
};
const WINDOW: Record<string, readonly string[]> = {
  ui: ['i18n.ts'],
  stores: ['rpc.ts', 'i18n.ts', 'theme.ts'],
  charts: ['stores', 'ui', 'i18n.ts', 'theme.ts', 'rpc.ts'],
  builder: ['stores', 'ui', 'i18n.ts', 'theme.ts', 'rpc.ts'],
  pages: ['builder', 'charts', 'stores', 'ui', 'i18n.ts', 'theme.ts', 'rpc.ts', 'routes.ts'],
  messages: [],
  'rpc.ts': ['transport.ts'],
  'i18n.ts': ['messages'],
  'theme.ts': [],
  'transport.ts': [],
  'routes.ts': ['pages'],
};
/** The window's frame, which puts the rooms together: its start, and the components at the top. */
const FRAME = /^(main\.ts|start\.ts|\w+\.vue)$/;

/** Every import of a file that points where it may not, as a sentence that names the file, the line and the rule. */
export function wrongImports(source: Source): string[] {
  return importsOf(source).flatMap(({ from, line, types }) => {
    const to = target(source, from);
    const rule = to === undefined ? undefined : broken(source.path, to, types);
    return rule ? [`${source.path}:${line} imports ${to}: ${rule}`] : [];
  });
}

/** The rule that an import from `path` to `to` breaks, if any. Tests may import what they need. */
export function broken(path: string, to: string, types: boolean): string | undefined {
  if (/\.test\.ts$/.test(path) || path.startsWith('test/') || path.startsWith('build/')) return undefined;
  const [side, room] = split(path);
  const [otherSide, other] = split(to);
  // The manifest is data that anyone may read.
  if (to === 'package.json' || (side === otherSide && room === other)) return undefined;
  if (side === 'kernels')
    return otherSide === side && other === 'core'
      ? undefined
      : 'a kernel imports its own folder and kernels/core, no more';
  if (side === 'src-main') {
    if (otherSide === side && other === 'spec') return undefined;
    return admits(MAIN[room], otherSide === side ? other : otherSide, types)
      ? undefined
      : sentence(`src-main/${room}`, MAIN[room]);
  }
  if (otherSide === 'src-main')
    return other === 'spec' || (other === 'rpc' && types)
      ? undefined
      : 'of src-main the window sees spec/ and the types of rpc/, no more';
  if (otherSide !== side) return 'the window imports src-renderer and src-main/spec, no more';
  if (FRAME.test(room) || admits(WINDOW[room], other, types)) return undefined;
  return sentence(`src-renderer/${room}`, WINDOW[room]);
}

const admits = (allowed: readonly string[] | undefined, key: string, types: boolean) =>
  allowed?.some((entry) => entry === key || (types && entry === `types:${key}`)) ?? false;

const sentence = (room: string, allowed: readonly string[] | undefined) =>
  allowed
    ? `${room} may import ${allowed.length ? allowed.join(', ') : 'nothing'} besides spec`
    : `${room} is not a room of the layout; see docs/architecture.md`;

/** `src-main/ops/tf.ts` as `['src-main', 'ops']`. A module that stands at the top of a side is a room of its own, named with its extension. */
function split(path: string): [side: string, room: string] {
  const [side, room = ''] = path.split('/');
  const rooms = side === 'src-main' ? MAIN : side === 'src-renderer' ? WINDOW : undefined;
  const module = rooms && path.split('/').length === 2 && !(room in rooms) && !/\.\w+$/.test(room);
  return [side, module ? `${room}.ts` : room];
}
