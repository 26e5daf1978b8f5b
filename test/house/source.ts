// The project's own source files and what they import, read as text: what the house rules are checked against.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

/** One module specifier in a file; `types` if only types come through it. */
export interface Import {
  from: string;
  line: number;
  types: boolean;
}
export interface Source {
  /** From the project's root, with forward slashes. */
  path: string;
  text: string;
}

const FOLDERS = ['src-main', 'src-renderer', 'kernels', 'test', 'build', 'db'];
const SOURCE = /\.(ts|mts|mjs|vue|cc|h|wgsl|sql|css|html)$/;

/** Every source file of the project, in order of path. */
export function sources(): Source[] {
  return FOLDERS.flatMap((folder) => files(join(root, folder)))
    .filter((path) => SOURCE.test(path))
    .map((path) => ({ path: relative(root, path).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }));
}

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)]));
}

const FROM = /^[ \t]*(import|export)\b(?<what>[^'";]*?)\bfrom\s*['"](?<from>[^'"]+)['"]/gm;
const BARE = /^[ \t]*import\s*['"](?<from>[^'"]+)['"]/gm;
const CALL = /\b(?:import|require)\(\s*['"](?<from>[^'"]+)['"]\s*\)/g;
const GLOB = /import\.meta\.glob(?:<[^()]*>)?\(\s*\[?\s*['"](?<from>[^'"*]*)[^'"]*['"]/g;

/** What a TypeScript or Vue file imports: statically, by call, by glob (its fixed beginning) or as a type. */
export function importsOf({ path, text }: Source): Import[] {
  const code = path.endsWith('.vue')
    ? [...text.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map((m) => m[1]).join('\n')
    : text;
  const plain = withoutComments(code);
  const found: Import[] = [];
  for (const pattern of [FROM, BARE, CALL, GLOB])
    for (const match of plain.matchAll(pattern)) {
      const { from, what = '' } = match.groups as { from: string; what?: string };
      const asType = /\btypeof\s*$/.test(plain.slice(0, match.index));
      found.push({ from, line: lineAt(plain, match.index), types: asType || onlyTypes(what) });
    }
  return found;
}

/** Strings are kept whole, since a glob may look like a comment. */
const STRING_OR_COMMENT = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;

/** Comments as blanks, so that lines keep their numbers. */
const withoutComments = (code: string) =>
  code.replace(STRING_OR_COMMENT, (found) => (found.startsWith('/') ? found.replace(/[^\n]/g, ' ') : found));

/** True of `type { A }`, `type * as x` and `{ type A, type B }`. */
function onlyTypes(what: string): boolean {
  if (/^\s*type\b/.test(what)) return true;
  const names = /^\s*\{([^}]*)\}\s*$/
    .exec(what)?.[1]
    .split(',')
    .filter((name) => name.trim());
  return names !== undefined && names.length > 0 && names.every((name) => /^\s*type\s/.test(name));
}

const lineAt = (text: string, index: number) => text.slice(0, index).split('\n').length;

/** A relative specifier as a path from the root; undefined for packages and builtins. */
export function target({ path }: Source, from: string): string | undefined {
  if (!from.startsWith('.')) return undefined;
  return relative(root, resolve(root, dirname(path), from.replace(/\?.*$/, ''))).replaceAll('\\', '/');
}
