// Texts that trained runs write, live: one for each run, kept while the window lives.
import { defineStore } from 'pinia';
import { shallowReactive } from 'vue';
import type { FillRequest, GapPart, GenerationPiece, GenerationRequest } from '../../src-main/rpc/contract';
import { onNotice, onReturn, rpc } from '../rpc';

export interface Written {
  prompt: string;
  text: string;
  /** Where gaps are filled in: the whole text as it stands, in place of `text`. */
  parts?: readonly GapPart[];
  tokens: number;
  tokensPerSecond: number | null;
  stateBytes: number | null;
  /** What products round to. */
  precision: GenerationPiece['precision'];
  /** `waiting`: asked for, nothing has come. */
  status: 'waiting' | 'writing' | 'done' | 'stopped' | 'failed';
  /** What went wrong. */
  error: unknown;
}

export const useGenerations = defineStore('generations', () => {
  const texts = shallowReactive(new Map<string, Written>());
  const ids = new Map<string, string>();

  const isGoing = (run: string): boolean => ['waiting', 'writing'].includes(texts.get(run)?.status ?? '');
  const change = (run: string, news: Partial<Written>) => {
    const was = texts.get(run);
    if (was) texts.set(run, { ...was, ...news });
  };

  onNotice((notice) => {
    if (notice.kind !== 'generation') return;
    const run = [...ids].find(([, id]) => id === notice.id)?.[0];
    const was = run === undefined ? undefined : texts.get(run);
    if (run === undefined || !was || !isGoing(run)) return;
    const { text, parts, tokens, tokensPerSecond, stateBytes, precision, done, error } = notice;
    const status = error !== undefined ? 'failed' : done ? 'done' : 'writing';
    if (done) ids.delete(run);
    change(run, {
      text: was.text + text,
      ...(parts && { parts }),
      tokens,
      tokensPerSecond,
      stateBytes,
      precision,
      status,
      error: error === undefined ? null : new Error(error),
    });
  });
  // Main ends what a window that it lost was being told.
  onReturn(() => {
    ids.clear();
    for (const run of texts.keys()) if (isGoing(run)) change(run, { status: 'stopped' });
  });

  /** Begins a text of a run anew; what it was writing ends. */
  const start = (request: GenerationRequest): Promise<void> => begin(request, () => rpc.generations.start(request));
  /** Begins to fill in the gaps of a text. */
  const fill = (request: FillRequest): Promise<void> => begin(request, () => rpc.generations.fill(request));
  async function begin(
    { run, prompt }: { run: string; prompt: string },
    ask: () => Promise<{ id: string }>,
  ): Promise<void> {
    if (isGoing(run)) await stop(run);
    const fresh: Written = {
      prompt,
      text: '',
      tokens: 0,
      tokensPerSecond: null,
      stateBytes: null,
      precision: null,
      status: 'waiting',
      error: null,
    };
    texts.set(run, fresh);
    try {
      const { id } = await ask();
      // It was stopped, or begun anew, before it was known under its id.
      if (texts.get(run) === fresh) ids.set(run, id);
      else await rpc.generations.cancel({ id });
    } catch (error) {
      if (texts.get(run) === fresh) change(run, { status: 'failed', error });
    }
  }
  /** Ends a text; what has come stays. */
  async function stop(run: string): Promise<void> {
    if (!isGoing(run)) return;
    change(run, { status: 'stopped' });
    const id = ids.get(run);
    ids.delete(run);
    if (id !== undefined) await rpc.generations.cancel({ id }).catch(() => undefined); // Out of reach: main has ended it.
  }

  return { texts, isGoing, start, fill, stop };
});
