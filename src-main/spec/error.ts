// The one error that a wrong spec raises: where, what came, what fits, what to try.

/** One thing wrong in a spec, as plain data, so that the window can show it where it arises. */
export interface Problem {
  /** Dotted path inside the spec, e.g. `model.layers[2].options.heads`; empty for the whole. */
  path: string;
  /** The sentence for the user: what came and what fits. */
  message: string;
  /** What to try, as a sentence without the final stop. */
  hint?: string;
  /** A value that would fit, where one is known: the window offers it as a fix. */
  fix?: unknown;
}

/** Puts one problem into a sentence: `path: message; try hint`. */
export function describe({ path, message, hint }: Problem): string {
  return `${path ? `${path}: ` : ''}${message}${hint ? `; ${hint}` : ''}`;
}

/** Raised by every `parse*` of this folder; carries all problems, and reads as the first few of them. */
export class SpecError extends Error {
  override name = 'SpecError';
  readonly problems: readonly Problem[];

  constructor(problems: Problem[] | string, path = '') {
    const list = typeof problems === 'string' ? [{ path, message: problems }] : problems;
    const shown = list.slice(0, 5).map(describe);
    super(shown.join('\n') + (list.length > 5 ? `\n… and ${list.length - 5} more` : ''));
    this.problems = list;
  }
}
