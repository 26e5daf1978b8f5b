// Texts over the RPC: what is refused at once, whom the pieces reach, and that no process outlives its window, its cancelling or the lab.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenLab, openLab } from '../hosts/lab';
import { labPaths, runFolder } from '../runs/folder';
import { runSchema } from '../spec/run';
import { insertRun } from '../store/run';
import type { Notice, Reply } from './contract';
import type { Caller } from './method';

const GENERATOR = resolve(import.meta.dirname, 'testing/generator.mjs');
let folder: string;
let lab: OpenLab;
let heard: Extract<Notice, { kind: 'generation' }>[];
let leaving: AbortController;
let caller: Caller;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-generations-'));
  lab = openLab({ folder, host: 'serve', worker: 'none', probe: 'none', generator: GENERATOR, cores: 1 });
  heard = [];
  leaving = new AbortController();
  caller = { tell: (notice) => void heard.push(notice as (typeof heard)[number]), gone: leaving.signal };
});
afterEach(async () => {
  await lab.close();
  rmSync(folder, { recursive: true, force: true });
});

function makeRun(id: string, { task = 'text', checkpoint = true, objective = 'next_token' } = {}): void {
  const model = { format: 'archlab.model/1', width: 8, layers: [{ block: 'gated_mlp' }] };
  const spec = runSchema.parse({
    format: 'archlab.run/1',
    name: id,
    model,
    task: { id: task },
    budget: { steps: 1 },
    objective: { kind: objective },
  });
  insertRun(lab.runs.store, { id, spec, name: id, createdAt: 1, status: 'finished' });
  const checkpoints = join(runFolder(labPaths(folder), id), 'checkpoints');
  mkdirSync(checkpoints, { recursive: true });
  if (checkpoint) writeFileSync(join(checkpoints, 'step-00000001.json'), '{}');
}
const usual = { run: 'one', prompt: 'write', length: 3, temperature: 1, topK: 0, topP: 1, seed: 1 };
const send = (method: string, input: unknown): Promise<Reply> =>
  lab.answer({ id: 1, noun: 'generations', method, input }, caller);
async function start(more: Partial<typeof usual> = {}): Promise<string> {
  const reply = await send('start', { ...usual, ...more });
  if (!reply.ok) throw new Error(reply.error.message);
  return (reply.value as { id: string }).id;
}
const refusal = async (more: object) => {
  const reply = await send('start', { ...usual, ...more });
  return reply.ok ? 'not refused' : reply.error.message;
};
const until = (look: () => boolean) => expect.poll(look).toBe(true);

describe('a text', () => {
  it('comes in pieces to the window that asked, and ends', async () => {
    makeRun('one');
    const others: Notice[] = [];
    lab.notices.listen((notice) => others.push(notice));
    const id = await start();
    await until(() => heard.at(-1)?.done === true);
    expect(heard.map(({ kind, id, text, tokens, done }) => [kind, id, text, tokens, done])).toEqual([
      ['generation', id, 'ab', 1, false],
      ['generation', id, 'ab', 2, false],
      ['generation', id, 'ab', 3, true],
    ]);
    expect(others.filter(({ kind }) => kind === 'generation')).toEqual([]);
    expect((await send('cancel', { id })).ok).toBe(true);
    expect(heard).toHaveLength(3);
  });

  it('that goes wrong, or whose process dies, ends with a sentence', async () => {
    makeRun('one');
    await start({ prompt: 'refuse' });
    await until(() => heard.length === 1);
    expect(heard[0]).toMatchObject({ done: true, error: 'There is no such character.' });
    await start({ prompt: 'crash' });
    await until(() => heard.length === 2);
    expect(heard[1]).toMatchObject({ done: true, error: expect.stringMatching(/exit code 7 .*out of luck/s) });
  });

  it('that is cancelled ends within 50 ms', async () => {
    makeRun('one');
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      heard.length = 0;
      const id = await start({ prompt: 'for ever' });
      await until(() => heard.length === 1);
      const at = performance.now();
      await send('cancel', { id });
      waits.push(performance.now() - at);
      expect(heard).toHaveLength(2);
      expect(heard[1]).toMatchObject({ id, text: '', tokens: 1, done: true });
      expect(heard[1].error).toBeUndefined();
    }
    // The fastest, since other work beside the test may delay one or another.
    expect(Math.min(...waits)).toBeLessThan(50);
  });

  it('ends when its window leaves, and when the lab closes', async () => {
    makeRun('one');
    await start({ prompt: 'for ever' });
    await until(() => heard.length === 1);
    leaving.abort();
    expect(heard.at(-1)).toMatchObject({ done: true });
    caller = { ...caller, gone: new AbortController().signal };
    await start({ prompt: 'for ever' });
    await until(() => heard.length === 3);
    await lab.close();
    expect(heard.at(-1)).toMatchObject({ done: true });
  });

  it('is refused in a sentence where there is nothing to write with', async () => {
    makeRun('one', { checkpoint: false });
    makeRun('two', { task: 'mqar' });
    expect(await refusal({})).toMatch(/one has no checkpoint yet/);
    expect(await refusal({ run: 'two' })).toMatch(/the run learns "mqar", which has no text/);
    expect(await refusal({ run: 'three' })).toMatch(/there is no run "three"/);
    expect(heard).toEqual([]);
  });

  it('is filled in by a run that learned masked tokens, and by no other', async () => {
    makeRun('one');
    makeRun('gaps', { objective: 'masked' });
    const { length: _, ...rest } = usual;
    const fill = (run: string, more: object = {}) => send('fill', { ...rest, prompt: 'a_b', run, passes: 4, ...more });
    expect(await fill('gaps')).toMatchObject({ ok: true });
    await until(() => heard.length === 1);
    expect(heard[0]).toMatchObject({ done: true, parts: [{ kind: 'filled', text: 'a_b' }], stateBytes: null });
    expect(await fill('one')).toMatchObject({ error: { message: expect.stringMatching(/can not fill in gaps/) } });
    expect(await refusal({ run: 'gaps' })).toMatch(/can not write on from a prompt; let it fill in gaps/);
    for (const wrong of [{ passes: 0 }, { length: 3 }, { temperature: 11 }])
      expect(await fill('gaps', wrong)).toMatchObject({
        error: { message: expect.stringContaining(`generations.fill.${Object.keys(wrong)[0]}`) },
      });
  });

  it('is one of eight at a time', async () => {
    makeRun('one');
    const ids = await Promise.all(Array.from({ length: 8 }, () => start({ prompt: 'for ever' })));
    expect(await refusal({})).toMatch(/8 texts are being written already/);
    await send('cancel', { id: ids[0] });
    expect(await start()).toEqual(expect.any(String));
  });

  it.each([
    [{ length: 0 }, 'length'],
    [{ length: 20_001 }, 'length'],
    [{ prompt: 'a'.repeat(20_001) }, 'prompt'],
    [{ temperature: -1 }, 'temperature'],
    [{ temperature: Number.NaN }, 'temperature'],
    [{ topK: 1.5 }, 'topK'],
    [{ topP: 0 }, 'topP'],
    [{ topP: 1.01 }, 'topP'],
    [{ seed: -1 }, 'seed'],
    [{ device: 'abacus' }, 'device'],
    [{ more: 1 }, 'more'],
  ])('does not take %j', async (wrong, key) => {
    expect(await refusal(wrong)).toContain(`generations.start.${key}`);
  });
});
