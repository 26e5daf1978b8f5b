// Reads a gpu.wgsl far enough to bind it: its storage variables, and which of them each entry point reaches.

export interface Variable {
  name: string;
  binding: number;
  writable: boolean;
}

const STORAGE = /@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*(read|read_write)>\s*(\w+)/g;
/** What a function declares itself: parameters and locals. */
const OWN = /(?:\b(?:let|var|const)\s+(?:<\w+>\s*)?(\w+))|(?:\b(\w+)\s*:)/g;
const FUNCTION = /\bfn\s+(\w+)\s*\(/g;

/** The storage variables that an entry point uses, by itself or through the functions that it calls. A function's own names hide them throughout it. */
export function variablesOf(source: string, entry: string): Variable[] {
  const code = source.replace(/\/\/.*$/gm, '');
  const variables = [...code.matchAll(STORAGE)].map(([, binding, access, name]) => ({
    name,
    binding: Number(binding),
    writable: access === 'read_write',
  }));
  const bodies = new Map([...code.matchAll(FUNCTION)].map(({ 1: name, index }) => [name, bodyFrom(code, index)]));
  if (!bodies.has(entry)) throw new Error(`internal: the shader has no entry point ${entry}`);
  const words = new Map([...bodies].map(([name, body]) => [name, wordsOf(body)]));
  const reached = new Set([entry]);
  for (const name of reached) for (const word of words.get(name)!) if (bodies.has(word)) reached.add(word);
  return variables.filter(({ name }) => [...reached].some((one) => words.get(one)!.has(name)));
}

/** The names that a function refers to, less those that it declares. */
function wordsOf(body: string): Set<string> {
  const words = new Set(body.match(/(?<![.\w])\w+/g));
  for (const [, local, parameter] of body.matchAll(OWN)) words.delete(local ?? parameter);
  return words;
}

/** The text from `start` to the brace that closes the first one after it. */
function bodyFrom(code: string, start: number): string {
  let depth = 0;
  for (let i = code.indexOf('{', start); i < code.length; i++) {
    if (code[i] === '{') depth++;
    if (code[i] === '}' && --depth === 0) return code.slice(start, i + 1);
  }
  throw new Error('internal: a shader function does not end');
}
