// Models as files: what is written, and what a file must be to be opened.

import { describe, type Problem } from '../../../src-main/spec/error';
import { type ModelSpec, modelSchema } from '../../../src-main/spec/model';
import { problemsOf } from '../../../src-main/spec/zod';

export const MAX_BYTES = 1_000_000;

/** `My model 2` as `My-model-2.archlab.json`: letters, digits, dash and dot of any script. */
export const fileName = (name: string): string =>
  `${name.replace(/[^\p{L}\p{N}.-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '') || 'model'}.archlab.json`;

/** The text of a model file. */
export const toText = (model: ModelSpec): string => `${JSON.stringify(model, null, 2)}\n`;

export type ReadModel =
  | { kind: 'model'; model: ModelSpec }
  | { kind: 'notJson'; message: string }
  | { kind: 'notModel'; problems: Problem[]; message: string };

/** Reads a model file. Unknown blocks and options out of range are let in: the builder shows them where they are. */
export function fromText(text: string): ReadModel {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: 'notJson', message: (error as Error).message };
  }
  try {
    const result = modelSchema.safeParse(value);
    if (result.success) return { kind: 'model', model: result.data };
    const problems = problemsOf(result.error, 'model', value, Object.keys(modelSchema.shape));
    return { kind: 'notModel', problems, message: problems.slice(0, 3).map(describe).join('; ') };
  } catch (error) {
    // Groups nested too deep for the reader.
    return { kind: 'notModel', problems: [], message: (error as Error).message };
  }
}

/** Offers a text to the user as a download. */
export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
