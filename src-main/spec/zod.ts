// Turns zod's issues into our problems: a path a person can follow, what came, what fits, what to try.
import type { z } from 'zod';
import type { Problem } from './error';
import { nearest, show } from './options';

/** `['layers', 2, 'options']` below `model` as `model.layers[2].options`. */
function dotted(base: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (at, key) => (typeof key === 'number' ? `${at}[${key}]` : at ? `${at}.${String(key)}` : String(key)),
    base,
  );
}

const at = (value: unknown, path: readonly PropertyKey[]) =>
  path.reduce<unknown>(
    (v, key) => (v === null || typeof v !== 'object' ? undefined : (v as Record<PropertyKey, unknown>)[key]),
    value,
  );

/** Every issue as a problem; unknown keys come one by one, with the nearest known one as a hint. */
export function problemsOf(error: z.ZodError, base: string, value: unknown, known: readonly string[] = []): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    const path = dotted(base, issue.path);
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => {
        const near = nearest(key, known);
        return {
          path: dotted(path, [key]),
          message: 'unknown key',
          hint: near ? `did you mean ${near}?` : 'remove it or correct its name',
        };
      });
    const came = at(value, issue.path);
    const message = came === undefined ? 'is missing' : `${show(came)} does not fit`;
    return [{ path, message: `${message}: ${wants(issue)}` }];
  });
}

function wants(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_value':
      return `it wants ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map((v) => show(v)).join(', ')}`;
    case 'invalid_type':
      return `it wants ${issue.expected === 'int' ? 'a whole number' : `${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`}`;
    case 'too_small':
      return `it wants ${issue.inclusive === false ? 'more than' : 'at least'} ${counted(Number(issue.minimum), issue.origin)}`;
    case 'too_big':
      return `it wants ${issue.inclusive === false ? 'less than' : 'at most'} ${counted(Number(issue.maximum), issue.origin)}`;
    default:
      return issue.message.toLowerCase();
  }
}

const counted = (n: number, origin: string): string => {
  const noun = { array: n === 1 ? 'entry' : 'entries', string: n === 1 ? 'character' : 'characters' }[origin];
  return noun ? `${n} ${noun}` : String(n);
};
