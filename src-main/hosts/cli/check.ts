// archlab check FILE: a model's problems, and whether later tokens reach its earlier outputs.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { catalogue } from '../../blocks';
import { checkCausality } from '../../engine/causality';
import { sayCausality } from '../../spec/causality';
import { parseModel } from '../../spec/model';
import { answer, answerJson, CommandError, type ExitCode } from './command';

export interface CheckOptions {
  tokens: number;
  vocabulary: number;
  json?: boolean;
}

/** Exit code 1 if an earlier output moves. */
export async function check(file: string, { tokens, vocabulary, json }: CheckOptions): Promise<ExitCode> {
  const model = parseModel(modelOf(file), catalogue);
  const found = await checkCausality(model, { tokens, vocabulary });
  if (json) answerJson({ model: model.name ?? null, causal: found.leak === null, ...found });
  else answer(sayCausality(found));
  return found.leak ? 1 : 0;
}

/** The model in the file of a model, of a run spec, or of a run's folder. */
function modelOf(file: string): unknown {
  const path = [resolve(file, 'spec.json'), resolve(file)].find((one) => existsSync(one));
  if (!path) throw new CommandError(`${resolve(file)} does not exist`, 2);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new CommandError(`${path} is not JSON: ${(error as Error).message}`, 2);
  }
  return typeof value === 'object' && value !== null && 'model' in value ? value.model : value;
}
