// Requests to methods and back: what is unknown is refused, every input is checked, every error comes as plain data.
import { z } from 'zod';
import { inWords } from '../runs/supervisor';
import { SpecError } from '../spec/error';
import { nearest, show } from '../spec/options';
import { problemsOf } from '../spec/zod';
import type { Implementation, Noun, Reply } from './contract';
import type { Caller } from './method';

export type Schemas = { [N in Noun]: Record<keyof Implementation[N], z.ZodType> };

const requestSchema = z.object({
  id: z.int().min(0),
  noun: z.string().max(64),
  method: z.string().max(64),
  input: z.unknown().optional(),
});

type Method = { schema: z.ZodType; run(input: unknown, caller?: Caller): unknown };

export interface DispatchOptions {
  schemas: Schemas;
  implementation: Implementation;
  /** The lab folder, for sentences about the disk. */
  folder: string;
  /** Errors of our own making, with their stack. */
  complain?: (message: string) => void;
}

/** A function from a request of any shape, and the window that sent it, to its reply; it never throws. */
export function dispatcher({ schemas, implementation, folder, complain = () => {} }: DispatchOptions) {
  const methods = new Map<string, Method>();
  for (const [noun, own] of Object.entries(implementation))
    for (const [method, run] of Object.entries(own as Record<string, Method['run']>))
      methods.set(`${noun}.${method}`, { schema: (schemas[noun as Noun] as Record<string, z.ZodType>)[method], run });

  return async (request: unknown, caller?: Caller): Promise<Reply> => {
    const asked = requestSchema.safeParse(request);
    if (!asked.success) {
      const id = (request as { id?: unknown } | null)?.id;
      return refusal(
        Number.isInteger(id) ? (id as number) : 0,
        new SpecError(problemsOf(asked.error, 'request', request)),
      );
    }
    const { id, noun, method, input } = asked.data;
    const call = `${noun}.${method}`;
    try {
      const found = methods.get(call);
      if (!found) throw new SpecError(unknown(call, [...methods.keys()]));
      const given = found.schema.safeParse(input ?? {});
      if (!given.success) throw new SpecError(problemsOf(given.error, call, input));
      return { id, ok: true, value: (await found.run(given.data, caller)) ?? null };
    } catch (error) {
      if (isOurFault(error)) complain(`${call}: ${(error as Error).stack}`);
      return refusal(id, error, folder);
    }
  };
}

function unknown(call: string, known: readonly string[]): string {
  const near = nearest(call, known);
  return `there is no method ${show(call)}${near ? `; did you mean ${near}?` : ''}`;
}

/** Errors that no user can cause. */
const isOurFault = (error: unknown): boolean =>
  error instanceof TypeError ||
  error instanceof RangeError ||
  error instanceof ReferenceError ||
  (error instanceof Error && error.message.startsWith('internal:'));

function refusal(id: number, error: unknown, folder = ''): Reply {
  if (error instanceof SpecError)
    return { id, ok: false, error: { name: error.name, message: error.message, problems: [...error.problems] } };
  const name = error instanceof Error ? error.name : 'Error';
  const message = inWords(error, folder);
  return {
    id,
    ok: false,
    error: { name, message: isOurFault(error) && !message.startsWith('internal:') ? `internal: ${message}` : message },
  };
}
