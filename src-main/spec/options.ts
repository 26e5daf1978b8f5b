// Options of blocks and tasks as plain data: one description drives the check, the defaults and the inspector.
import leven from 'leven';
import type { Problem } from './error';

interface OptionBase {
  /** What a field is labelled, where the name in words reads badly. */
  title?: string;
  /** One line for the inspector: what the option does. */
  help: string;
  /** Link or arXiv id of where the option comes from. */
  paper?: string;
}

/** A described option. `kind` decides the control that the inspector draws. */
export type Option = OptionBase &
  (
    | { kind: 'int'; default: number; min: number; max: number; step?: number }
    | { kind: 'float'; default: number; min: number; max: number; log?: boolean }
    | { kind: 'bool'; default: boolean }
    | { kind: 'choice'; default: string; choices: readonly string[] }
    | { kind: 'interval'; default: readonly [number, number] | null; min: number; max: number }
    | { kind: 'text'; default: string; maxLength: number }
    | { kind: 'list'; default: readonly number[]; min: number; max: number; maxItems: number }
  );

export type Options = Record<string, Option>;

type Widen<T> = T extends number ? number : T extends boolean ? boolean : T;
/** The values that an option description admits: `ValuesOf<typeof options>`. */
export type ValuesOf<S extends Options> = {
  [K in keyof S]: S[K] extends { kind: 'choice'; choices: readonly (infer C)[] }
    ? C
    : S[K] extends { kind: 'interval' }
      ? readonly [number, number] | null
      : Widen<S[K]['default']>;
};

type Rest<K extends Option['kind']> = Omit<Extract<Option, { kind: K }>, 'kind' | 'default'>;

export const int = (value: number, rest: Partial<Rest<'int'>> & { help: string }) => ({
  kind: 'int' as const,
  default: value,
  min: 1,
  max: 65_536,
  ...rest,
});
export const float = (value: number, rest: Rest<'float'>) => ({ kind: 'float' as const, default: value, ...rest });
export const bool = (value: boolean, rest: Rest<'bool'>) => ({ kind: 'bool' as const, default: value, ...rest });
export const choice = <const C extends readonly string[]>(
  value: C[number],
  rest: Omit<Rest<'choice'>, 'choices'> & { choices: C },
) => ({ kind: 'choice' as const, default: value, ...rest });
export const interval = (value: readonly [number, number] | null, rest: Rest<'interval'>) => ({
  kind: 'interval' as const,
  default: value,
  ...rest,
});
export const text = (value: string, rest: Rest<'text'>) => ({ kind: 'text' as const, default: value, ...rest });
export const list = (value: readonly number[], rest: Rest<'list'>) => ({
  kind: 'list' as const,
  default: value,
  ...rest,
});

/** The default of every option. */
export function defaults<S extends Options>(schema: S): ValuesOf<S> {
  return Object.fromEntries(Object.entries(schema).map(([name, option]) => [name, option.default])) as ValuesOf<S>;
}

/** Fills in defaults; does not check. */
export function complete<S extends Options>(schema: S, given: Record<string, unknown> = {}): ValuesOf<S> {
  return { ...defaults(schema), ...given } as ValuesOf<S>;
}

/** What an option admits, in words: the second half of each message. */
function fits(option: Option): string {
  switch (option.kind) {
    case 'int':
      return `a whole number from ${option.min} to ${option.max}${option.step ? ` in steps of ${option.step}` : ''}`;
    case 'float':
      return `a number from ${option.min} to ${option.max}`;
    case 'bool':
      return 'true or false';
    case 'choice':
      return `one of ${option.choices.join(', ')}`;
    case 'interval':
      return `null or two numbers [low, high] from ${option.min} to ${option.max}, low below high`;
    case 'text':
      return `text of at most ${option.maxLength} characters`;
    case 'list':
      return `a list of 1 to ${option.maxItems} numbers from ${option.min} to ${option.max}`;
  }
}

/** Checks given option values against their description; unknown names are problems too. */
export function checkOptions(schema: Options, given: Record<string, unknown>, path: string): Problem[] {
  const problems: Problem[] = [];
  for (const [name, value] of Object.entries(given)) {
    const option = schema[name];
    const at = `${path}.${name}`;
    if (!option) {
      const known = Object.keys(schema);
      const near = nearest(name, known);
      problems.push({
        path: at,
        message: `unknown option; known are ${known.join(', ') || 'none'}`,
        hint: near ? `did you mean ${near}?` : 'remove it',
      });
    } else if (!admits(option, value)) {
      problems.push({
        path: at,
        message: `${show(value)} does not fit: it wants ${fits(option)}`,
        hint: `the default is ${show(option.default)}`,
        fix: option.default,
      });
    }
  }
  return problems;
}

function admits(option: Option, value: unknown): boolean {
  const within = (x: unknown, { min, max }: { min: number; max: number }) =>
    typeof x === 'number' && Number.isFinite(x) && x >= min && x <= max;
  switch (option.kind) {
    case 'int':
      return (
        Number.isInteger(value) && within(value, option) && (Number(value) - option.min) % (option.step ?? 1) === 0
      );
    case 'float':
      return within(value, option);
    case 'bool':
      return typeof value === 'boolean';
    case 'choice':
      return typeof value === 'string' && option.choices.includes(value);
    case 'interval':
      return (
        value === null ||
        (Array.isArray(value) && value.length === 2 && value.every((x) => within(x, option)) && value[0] < value[1])
      );
    case 'text':
      return typeof value === 'string' && value.length <= option.maxLength;
    case 'list':
      return (
        Array.isArray(value) &&
        value.length > 0 &&
        value.length <= option.maxItems &&
        value.every((x) => within(x, option))
      );
  }
}

/** A value as it is quoted in a message, cut to one short line. */
export function show(value: unknown): string {
  const said = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value));
  return said.length > 60 ? `${said.slice(0, 57)}…` : said;
}

/** The known name closest to a misspelt one, within two edits; undefined if none is close. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((k) => [leven(name.toLowerCase(), k.toLowerCase()), k] as const).sort((a, b) => a[0] - b[0]);
  return ranked[0] && ranked[0][0] <= Math.max(2, Math.floor(name.length / 3)) ? ranked[0][1] : undefined;
}
