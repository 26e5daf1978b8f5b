// Comparisons with golden cases over the RPC: what is refused, what is kept, and how they end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenLab, openLab } from '../hosts/lab';
import type { Agreement, Notice, Reply } from './contract';
import type { Caller } from './method';

const PROBE = resolve(import.meta.dirname, 'testing/probe.mjs');
const GOLDEN = resolve(import.meta.dirname, '../../test/golden');
let folder: string;
let lab: OpenLab;
let heard: Extract<Notice, { kind: 'agreement' }>[];
let leaving: AbortController;
let caller: Caller;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-agreements-'));
  lab = openLab({ folder, host: 'serve', worker: 'none', probe: PROBE, golden: GOLDEN, cores: 1 });
  heard = [];
  leaving = new AbortController();
  caller = { tell: (notice) => void heard.push(notice as (typeof heard)[number]), gone: leaving.signal };
});
afterEach(async () => {
  await lab.close();
  rmSync(folder, { recursive: true, force: true });
});

const send = (method: string, input: unknown): Promise<Reply> =>
  lab.answer({ id: 1, noun: 'agreements', method, input }, caller);
const list = async () => {
  const reply = await send('list', {});
  if (!reply.ok) throw new Error(reply.error.message);
  return reply.value as { tested: Agreement[]; cases: Record<string, number> };
};
const start = (device: string, blocks = ['hydra', 'mamba2']) => send('start', { device, blocks });
const ended = () => expect.poll(() => heard.at(-1)?.done).toBe(true);

describe('a comparison', () => {
  it('tells how far it is, and leaves a result for each block', async () => {
    expect((await list()).tested).toEqual([]);
    const others: Notice[] = [];
    lab.notices.listen((notice) => others.push(notice));
    const reply = await start('cpu');
    await ended();
    const { id } = (reply as Reply & { ok: true }).value as { id: string };
    const progress = (block: string) => ({
      kind: 'agreement',
      id,
      done: false,
      progress: { block, case: 'one', done: 0, total: 1 },
    });
    expect(heard).toEqual([progress('hydra'), progress('mamba2'), { kind: 'agreement', id, done: true }]);
    const { tested, cases } = await list();
    expect(tested.map(({ block, ok, tensors, worst }) => [block, ok, tensors, worst?.error])).toEqual([
      ['hydra', true, 2, 1e-7],
      ['mamba2', true, 2, 1e-7],
    ]);
    expect(cases.hydra).toBe(3);
    expect(cases.gated_mlp).toBeUndefined();
    await expect.poll(() => others).toEqual([{ kind: 'agreements' }]);
    // A newer result takes the place of the older one.
    await start('cpu', ['hydra']);
    await expect.poll(() => heard.filter(({ done }) => done).length).toBe(2);
    expect((await list()).tested).toHaveLength(2);
  });

  it('of what has no case, or beside another one, is refused', async () => {
    const refusal = async (blocks: string[]) => {
      const reply = await start('cpu', blocks);
      return reply.ok ? 'not refused' : reply.error.message;
    };
    expect(await refusal(['gated_mlp'])).toMatch(/gated_mlp has no golden case: nothing was published/);
    expect(await refusal(['hydr'])).toBe('blocks: there is no block "hydr"; did you mean hydra?');
    await start('tensorflow');
    expect(await refusal(['hydra'])).toMatch(/at work already; wait for its end, or cancel it/);
  });

  it('that goes wrong or whose process dies ends with a sentence, and leaves no result', async () => {
    await start('reference');
    await ended();
    expect(heard.at(-1)).toMatchObject({ error: 'The driver is too old.' });
    await start('webgpu');
    await expect.poll(() => heard.filter(({ done }) => done).length).toBe(2);
    expect(heard.at(-1)).toMatchObject({
      error: expect.stringMatching(/process that compares blocks .*vkCreateDevice failed/s),
    });
    expect((await list()).tested).toEqual([]);
  });

  it('ends when it is cancelled, or its window leaves', async () => {
    const reply = (await start('tensorflow')) as Reply & { ok: true };
    await send('cancel', { id: (reply.value as { id: string }).id });
    expect(heard).toEqual([{ kind: 'agreement', id: expect.any(String), done: true }]);
    await start('tensorflow');
    leaving.abort();
    expect(heard).toHaveLength(2);
  });
});
