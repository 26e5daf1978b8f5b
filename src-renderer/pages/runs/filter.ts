// The filter of the runs list: words, /patterns/ and comparisons such as `loss<2 block:mamba2 seed=1`.
import type { RunRow } from '../../../src-main/rpc/contract';

export type Filter = (run: RunRow) => boolean;
/** Where the text went wrong, and how to say so; `key` is of the catalogue. */
export interface FilterProblem {
  token: string;
  key: 'field' | 'number' | 'pattern';
  known?: string;
}

type Value = number | string | null | undefined;
const metric = (name: string) => (run: RunRow) => run.last[name];

/** What a comparison may speak of. */
const FIELDS: Record<string, (run: RunRow) => Value> = {
  name: (run) => run.name,
  status: (run) => run.status,
  block: (run) => run.blocks,
  task: (run) => run.task,
  device: (run) => run.device,
  seed: (run) => run.seed,
  step: (run) => run.step,
  steps: (run) => run.steps,
  parameters: (run) => run.parameters,
  state: (run) => run.stateBytes,
  speed: (run) => run.tokensPerSecond?.median,
  loss: metric('loss/train'),
  validation: (run) => run.last['loss/validation'],
  best: (run) => run.best['loss/validation'] ?? run.best['loss/train'],
  accuracy: metric('accuracy/validation'),
  lr: metric('lr'),
};

const COMPARISON = /^([A-Za-z_/]+)(<=|>=|!=|==|=|<|>|:)(.*)$/;

/** Splits at spaces outside quotes. */
const tokensOf = (text: string): string[] => text.match(/\/(?:\\.|[^/\\])+\/\S*|[^\s"]*"[^"]*"|\S+/g) ?? [];

/** Reads a filter; all parts must hold. A wrong part is named, and nothing is hidden because of it. */
export function parseFilter(text: string): { filter: Filter; problem: FilterProblem | null } {
  const parts: Filter[] = [];
  for (const token of tokensOf(text)) {
    const pattern = /^\/(.+)\/$/.exec(token);
    if (pattern) {
      let regex: RegExp;
      try {
        regex = new RegExp(pattern[1]!, 'iu');
      } catch {
        return { filter: () => true, problem: { token, key: 'pattern' } };
      }
      parts.push((run) => regex.test(haystack(run)));
      continue;
    }
    const comparison = COMPARISON.exec(token);
    if (comparison) {
      const [, name, sign, quoted] = comparison as unknown as [string, string, string, string];
      const field = name.toLowerCase();
      const read = Object.hasOwn(FIELDS, field) ? FIELDS[field] : name.includes('/') ? metric(name) : undefined;
      if (!read) return { filter: () => true, problem: { token, key: 'field', known: Object.keys(FIELDS).join(', ') } };
      const wanted = quoted.replace(/^"|"$/g, '');
      if ('<>'.includes(sign[0]!)) {
        const limit = Number(wanted);
        if (wanted === '' || Number.isNaN(limit)) return { filter: () => true, problem: { token, key: 'number' } };
        parts.push((run) => compare(read(run), sign, limit));
      } else parts.push((run) => equals(read(run), wanted, sign));
      continue;
    }
    const word = token.replace(/^"|"$/g, '').toLowerCase();
    parts.push((run) => haystack(run).toLowerCase().includes(word));
  }
  return { filter: (run) => parts.every((part) => part(run)), problem: null };
}

const haystack = (run: RunRow) => `${run.name} ${run.blocks} ${run.task} ${run.status} ${run.device} ${run.id}`;

function compare(value: Value, sign: string, limit: number): boolean {
  if (typeof value !== 'number') return false;
  return sign === '<' ? value < limit : sign === '<=' ? value <= limit : sign === '>' ? value > limit : value >= limit;
}

/** Numbers are equal as numbers; of texts a part is enough for `:`, the whole is wanted for `=`. */
function equals(value: Value, wanted: string, sign: string): boolean {
  const same =
    typeof value === 'number'
      ? value === Number(wanted)
      : sign === ':' || sign === '!='
        ? String(value ?? '')
            .toLowerCase()
            .includes(wanted.toLowerCase())
        : String(value ?? '').toLowerCase() === wanted.toLowerCase() ||
          String(value ?? '')
            .toLowerCase()
            .split(/[\s+×]+/)
            .includes(wanted.toLowerCase());
  return sign === '!=' ? !same : same;
}
