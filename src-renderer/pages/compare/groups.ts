// Which runs are seeds of one configuration.
import type { RunSpec } from '../../../src-main/spec/run';

/** JSON with sorted keys: equal for equal data, in whatever order it was written. */
export function stable(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stable).join(',')}]`;
  if (value !== null && typeof value === 'object')
    return `{${Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, v]) => `${JSON.stringify(key)}:${stable(v)}`)
      .join(',')}}`;
  return JSON.stringify(value) ?? 'null';
}

/** All of a spec that makes a difference besides the seed: names and parentage do not. */
function configurationKey(spec: RunSpec): string {
  const { seed: _seed, name: _name, parent: _parent, model, ...rest } = spec;
  const { name: _model, ...shape } = model;
  return stable({ ...rest, model: shape });
}

export interface SeedGroup {
  key: string;
  /** One run a seed. */
  runs: string[];
  /** Further runs with a seed that is there already: the same numbers again, which would only feign certainty. */
  repeats: string[];
}

/**
 * Runs by configuration, both in the order given. Of several runs with one seed the one that has come furthest stands for
 * it. A run whose spec is not here yet stands alone.
 */
export function groupBySeeds(
  runs: readonly string[],
  specOf: (run: string) => RunSpec | undefined,
  stepOf: (run: string) => number = () => 0,
): SeedGroup[] {
  const groups = new Map<string, { key: string; seeds: Map<number | string, string[]> }>();
  for (const run of runs) {
    const spec = specOf(run);
    const key = spec ? configurationKey(spec) : run;
    const group = groups.get(key) ?? { key: run, seeds: new Map() };
    const seed = spec?.seed ?? run;
    group.seeds.set(seed, [...(group.seeds.get(seed) ?? []), run]);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ key, seeds }) => {
    const sorted = [...seeds.values()].map((same) => [...same].sort((a, b) => stepOf(b) - stepOf(a)));
    return { key, runs: sorted.map(([first]) => first!), repeats: sorted.flatMap(([, ...rest]) => rest) };
  });
}

/** What the names of the seeds have in common, without what the seed left at its end: `mamba2 · seed 1` gives `mamba2`. */
export function commonName(names: readonly string[]): string {
  const first = names[0] ?? '';
  if (names.length < 2) return first;
  let length = 0;
  while (length < first.length && names.every((name) => name[length] === first[length])) length++;
  // A number that goes on differently is not common: of 1 and 12 nothing is.
  const cut = names.some((name) => /\d/.test(name[length] ?? '')) ? /\d+$/ : /$^/;
  const common = first
    .slice(0, length)
    .replace(cut, '')
    .replace(/[\s·,;:(/_-]+(seed|s|зерно)[\s·:#=_-]*\d*$/iu, '')
    .replace(/[\s·,;:#=(/_-]+$/u, '');
  return common || first;
}

/** The name at a place of the list; where it stands there before, a number tells the two apart: `Mamba-2 (2)`. */
export function distinctName(names: readonly string[], at: number): string {
  const before = names.slice(0, at).filter((name) => name === names[at]).length;
  return before ? `${names[at]} (${before + 1})` : names[at]!;
}
