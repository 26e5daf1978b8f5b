// Stacks written as a line: `mamba2 x3, attention x1`, `(mamba2 x3, mlp) x4`.
import { SpecError } from './error';
import { isRepeat, type Node } from './model';

/** What people say for short. */
const SHORT: Readonly<Record<string, string>> = {
  attention: 'softmax_attention',
  mamba: 'mamba2',
  conv: 'causal_conv',
};
const TOKEN = /\s*(?:([,()])|[x×*]\s*(\d+)(?![\w])|([\p{L}][\p{L}\d_-]*))/uy;

interface Token {
  kind: 'mark' | 'times' | 'name';
  text: string;
}

function tokensOf(text: string, path: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw wrong(`“${text.slice(at).trim()}” is not a block, a count or a bracket`, path);
    const [, mark, times, name] = found;
    tokens.push(mark ? { kind: 'mark', text: mark } : times ? { kind: 'times', text: times } : { kind: 'name', text: name }); // biome-ignore format: one choice
  }
  return tokens;
}

const wrong = (message: string, path: string): SpecError =>
  new SpecError([{ path, message, hint: 'write blocks with commas between them, as in “mamba2 x3, attention x1”' }]);

/**
 * The layers that a line stands for: ids of blocks (`attention`, `mamba` and `conv` for short) with commas between them, each with `x3` behind it to
 * stand three times; brackets make a group. Whether there are such blocks is for `checkModel` to say.
 * @throws SpecError at `path` for a line that can't be read.
 */
export function parsePattern(text: string, path = 'model.layers'): Node[] {
  const tokens = tokensOf(text, path);
  let at = 0;
  const takes = (mark: string) => {
    const here = tokens[at]?.kind === 'mark' && tokens[at].text === mark;
    if (here) at += 1;
    return here;
  };
  function list(): Node[] {
    const nodes = item();
    while (takes(',')) nodes.push(...item());
    return nodes;
  }
  function item(): Node[] {
    let nodes: Node[];
    if (takes('(')) {
      nodes = list();
      if (!takes(')')) throw wrong('a bracket is not closed', path);
    } else {
      const token = tokens[at++];
      if (token?.kind !== 'name')
        throw wrong(token ? `“${token.text}” stands where a block should` : 'a block is missing', path);
      const id = token.text.toLowerCase().replaceAll('-', '_');
      nodes = [{ block: SHORT[id] ?? id }];
    }
    if (tokens[at]?.kind !== 'times') return nodes;
    const times = Number(tokens[at++].text);
    if (times < 1 || times > 256) throw wrong(`a count is from 1 to 256, not ${times}`, path);
    return times === 1 ? nodes : [{ repeat: times, layers: nodes }];
  }
  const nodes = list();
  if (at < tokens.length) throw wrong(`“${tokens[at].text}” stands where a comma should`, path);
  return nodes;
}

/** True if the layers are more than one block standing once: a line worth calling a pattern. */
export const isPattern = (nodes: readonly Node[]): boolean => nodes.length > 1 || nodes.some(isRepeat);

/** A run draft whose model's layers may be written as a line. */
export function readPattern(draft: unknown): unknown {
  const model = (draft as { model?: { layers?: unknown } } | null)?.model;
  if (typeof model?.layers !== 'string') return draft;
  return { ...(draft as object), model: { ...model, layers: parsePattern(model.layers) } };
}
