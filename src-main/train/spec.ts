// Reads the spec of a run folder.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { catalogue } from '../blocks';
import { SpecError } from '../spec/error';
import { parseRun, type RunSpec } from '../spec/run';
import { tasks } from '../tasks';

const SPEC_FILE = 'spec.json';
const MAX_BYTES = 4 * 1024 * 1024;

/** @throws SpecError naming the file, or each thing wrong in it. */
export function readRunSpec(folder: string): RunSpec {
  const path = join(folder, SPEC_FILE);
  const { size } = statSync(path);
  if (size > MAX_BYTES) throw new SpecError(`it has ${size} bytes; a spec has at most ${MAX_BYTES}`, path);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new SpecError(`it is not JSON (${(error as Error).message})`, path);
  }
  return parseRun(value, catalogue, tasks);
}
