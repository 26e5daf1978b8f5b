// What every command shares: how it fails, where it writes, how it is interrupted.
import { SpecError } from '../../spec/error';

/** 0: done. 1: it did not work out. 2: it was asked wrongly. */
export type ExitCode = 0 | 1 | 2;

/** A failure that is told in one sentence and ends the command. */
export class CommandError extends Error {
  override name = 'CommandError';
  constructor(
    message: string,
    readonly code: Exclude<ExitCode, 0> = 1,
  ) {
    super(message);
  }
}

/** For people, on stderr, so that stdout holds the answer alone. */
export const say = (text: string): void => void process.stderr.write(`${text}\n`);
/** The answer. */
export const answer = (text: string): void => void process.stdout.write(`${text}\n`);
export const answerJson = (value: unknown): void => answer(JSON.stringify(value, null, 2));

/** What is printed for an error, and the exit code that goes with it. A fault of our own keeps its stack. */
export function verdict(error: unknown): { text: string; code: ExitCode } {
  if (error instanceof CommandError) return { text: error.message, code: error.code };
  if (error instanceof SpecError) return { text: error.message, code: 2 };
  const { code, message, stack } = error as NodeJS.ErrnoException;
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return { text: message, code: 1 };
  return { text: stack ?? String(error), code: 1 };
}

/** Listens to Ctrl-C and SIGTERM while a command works; `[Symbol.dispose]` stops listening. */
export class Interrupt {
  #count = 0;
  #listeners = new Set<(times: number) => void>();
  #hear = () => {
    this.#count += 1;
    for (const listener of this.#listeners) listener(this.#count);
  };

  constructor() {
    process.on('SIGINT', this.#hear).on('SIGTERM', this.#hear);
  }
  /** How often it was asked to stop. */
  get times(): number {
    return this.#count;
  }
  /** Calls back with the count, 1 for the first; gives the function that ends it. */
  listen(listener: (times: number) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
  [Symbol.dispose](): void {
    process.off('SIGINT', this.#hear).off('SIGTERM', this.#hear);
  }
}
