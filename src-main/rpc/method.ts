// What every file of this folder is made of: the shape of a noun's inputs, checked in main before a method runs.
import { z } from 'zod';
import type { Api, Notice, Noun } from './contract';

/** A schema for the input of each method of a noun. */
export type Inputs<N extends Noun> = {
  [M in keyof Api[N]]: Api[N][M] extends (input: infer I) => unknown ? z.ZodType<I> : never;
};

/** The window that asks, for methods whose answer goes on after their reply. */
export interface Caller {
  /** Says something to this window alone. */
  tell(notice: Notice): void;
  /** Aborted when the window has left. */
  gone: AbortSignal;
}

export const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;
export const id = z.string().min(1).max(64);
export const ids = z.array(id).max(10_000);
export const name = z.string().trim().min(1).max(200);
