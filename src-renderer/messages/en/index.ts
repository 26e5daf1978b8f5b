// The English catalogue: the one that gives the keys their types.
import build from './build';
import compare from './compare';
import generate from './generate';
import runs from './runs';
import shell from './shell';

export const en = { shell, build, runs, compare, generate };

/** The same keys with any texts: every other language satisfies this. */
export type Shape<T> = { [K in keyof T]: T[K] extends string ? string : Shape<T[K]> };
export type Messages = Shape<typeof en>;
