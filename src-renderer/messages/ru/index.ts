// The Russian catalogue.
import type { Messages } from '../en';
import build from './build';
import compare from './compare';
import generate from './generate';
import runs from './runs';
import shell from './shell';

export const ru = { shell, build, runs, compare, generate } satisfies Messages;
