// The RPC: what is unknown or does not fit is refused in words, what fits is done, and notices are gathered.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenLab, openLab } from '../hosts/lab';
import { type RunDraft, runSchema } from '../spec/run';
import { project } from '../store/project';
import { getRun, insertRun } from '../store/run';
import { makeTask } from '../tasks';
import type { Client, Notice, Reply } from './contract';
import { ask, devices } from './devices';
import { exampleRuns } from './example';
import type { Lab } from './lab';
import { Notices } from './notices';
import { eta, readDrafts } from './runs';
import { freshId } from './texts';

const WORKER = resolve(import.meta.dirname, '../runs/testing/worker.mjs');
const PROBE = resolve(import.meta.dirname, 'testing/probe.mjs');
let folder: string;
let lab: OpenLab;
let said: string[];
let notices: Notice[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'archlab-rpc-'));
  said = [];
  notices = [];
  lab = openLab({
    folder,
    host: 'serve',
    worker: WORKER,
    probe: PROBE,
    cores: 2,
    pollMs: 20,
    complain: (m) => said.push(m),
  });
  lab.notices.listen((notice) => notices.push(notice));
});
afterEach(async () => {
  await lab.close();
  rmSync(folder, { recursive: true, force: true });
});

let next = 0;
const send = (noun: string, method: string, input: unknown = {}): Promise<Reply> =>
  lab.answer({ id: ++next, noun, method, input });
/** As the window calls it; a refusal is thrown. */
const call = new Proxy({} as Client, {
  get: (_, noun: string) =>
    new Proxy(
      {},
      {
        get: (_, method: string) => async (input: unknown) => {
          const reply = await send(noun, method, input);
          if (!reply.ok) throw Object.assign(new Error(reply.error.message), reply.error);
          return reply.value;
        },
      },
    ),
});
const refusal = async (noun: string, method: string, input: unknown = {}) => {
  const reply = await send(noun, method, input);
  if (reply.ok) throw new Error(`${noun}.${method} was not refused`);
  return reply.error;
};
async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 3000; i++) {
    const found = await look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}
const draft = (more: object = {}): RunDraft => ({
  format: 'archlab.run/1',
  model: {
    format: 'archlab.model/1',
    width: 32,
    layers: [{ block: 'softmax_attention', options: { heads: 2, headDim: 16 } }],
  },
  task: { id: 'text', options: { tokens: 16 } },
  budget: { steps: 30 },
  ...more,
});

describe('dispatch', () => {
  it.each([
    [null],
    ['text'],
    [{ noun: 'runs', method: 'list' }],
    [{ id: -1, noun: 'runs', method: 'list', input: {} }],
    [{ id: 4, noun: 5, method: 'list', input: {} }],
  ])('refuses %j, which is no request', async (request) => {
    const reply = await lab.answer(request);
    expect(reply).toMatchObject({ ok: false, error: { name: 'SpecError' } });
  });

  it.each([
    ['constructor', 'name'],
    ['__proto__', 'toString'],
    ['runs', 'constructor'],
    ['runs', '__proto__'],
    ['runs', 'toString'],
    ['nobody', 'list'],
  ])('knows no %s.%s', async (noun, method) => {
    expect((await refusal(noun, method)).message).toMatch(/^there is no method/);
  });

  it('answers under the number it was asked with, and offers the nearest name', async () => {
    expect(await lab.answer({ id: 77, noun: 'runs', method: 'lst', input: {} })).toMatchObject({
      id: 77,
      error: { message: 'there is no method "runs.lst"; did you mean runs.list?' },
    });
    expect(await lab.answer({ id: 78, noun: 'runs', method: 'list' })).toEqual({ id: 78, ok: true, value: [] });
  });

  it.each([
    ['runs', 'list', { deleted: 'yes' }, /runs\.list\.deleted: "yes" does not fit/],
    ['runs', 'list', { nope: 1 }, /runs\.list\.nope: unknown key/],
    ['runs', 'get', {}, /runs\.get\.id: is missing/],
    ['runs', 'pause', { ids: 'all' }, /runs\.pause\.ids: "all" does not fit/],
    ['runs', 'events', { id: 'a', after: -1, limit: 5 }, /runs\.events\.after/],
    ['metrics', 'series', { runs: [], names: [], buckets: 0 }, /metrics\.series\.buckets/],
    ['devices', 'test', { id: 'abacus' }, /it wants one of "cpu", "webgpu"/],
    ['models', 'inspect', { model: {}, tokens: 0, vocabulary: 5 }, /models\.inspect\.tokens/],
    ['texts', 'add', { name: ' ', files: [] }, /texts\.add\.name/],
    ['settings', 'set', { key: '', value: 1 }, /settings\.set\.key/],
  ])('checks the input of %s.%s', async (noun, method, input, message) => {
    const error = await refusal(noun, method, input);
    expect(error.message).toMatch(message);
    expect(error.problems?.length).toBeGreaterThan(0);
  });

  it('checks every method that the contract has', async () => {
    for (const [noun, methods] of Object.entries(EVERY))
      for (const method of methods)
        expect((await refusal(noun, method, { unheard: 1 })).message, `${noun}.${method}`).toMatch(
          /unknown key|is missing/,
        );
  });
});

/** Written by hand, so that a method without a schema would be found. */
const EVERY = {
  app: ['info'],
  settings: ['get', 'set'],
  blocks: ['list'],
  tasks: ['list', 'preview'],
  texts: ['list', 'add', 'remove'],
  models: ['inspect', 'causality', 'presets', 'list', 'save', 'remove', 'restore'],
  runs: [
    'list',
    'get',
    'create',
    'example',
    'pause',
    'resume',
    'step',
    'stop',
    'rename',
    'remove',
    'restore',
    'reorder',
    'events',
    'csv',
  ],
  metrics: ['names', 'series'],
  devices: ['list', 'test'],
  generations: ['start', 'fill', 'cancel'],
  agreements: ['list', 'start', 'cancel'],
};

describe('runs', () => {
  it('are refused with every problem and its path', async () => {
    const one = await refusal('runs', 'create', { runs: [draft({ batchs: 1 })] });
    expect(one.problems).toEqual([{ path: 'run.batchs', message: 'unknown key', hint: 'did you mean batch?' }]);
    const model = { format: 'archlab.model/1', width: 32, layers: [{ block: 'sofmax_attention' }] };
    const two = await refusal('runs', 'create', {
      runs: [draft(), draft({ model }), draft({ task: { id: 'text', options: { source: 'nowhere' } } })],
    });
    expect(two.problems?.map(({ path }) => path)).toEqual([
      'runs[1].model.layers[0].block',
      'runs[2].task.options.source',
    ]);
    const large = {
      format: 'archlab.model/1',
      width: 16_384,
      layers: [{ repeat: 64, layers: [{ block: 'gated_mlp' }] }],
    };
    const three = await refusal('runs', 'create', { runs: [draft(), draft({ model: large })] });
    expect(three.problems).toMatchObject([{ path: 'runs[1].model', hint: 'take a smaller width or fewer layers' }]);
    expect(await call.runs.list({})).toEqual([]);
    expect(readdirSync(join(folder)).includes('runs')).toBe(false);
  });

  it('are made, told, listed, measured and exported', async () => {
    const [row] = await call.runs.create({ runs: [draft({ name: 'first, "best"' })] });
    expect(row).toMatchObject({
      name: 'first, "best"',
      status: 'starting',
      steps: 30,
      task: 'text',
      blocks: 'softmax_attention',
    });
    const done = await until('the end', async () => {
      const [run] = await call.runs.list({});
      return run.status === 'finished' && run.sizeBytes !== null && run;
    });
    expect(done).toMatchObject({
      step: 30,
      tokens: 1200,
      etaSeconds: null,
      queue: null,
      last: { 'loss/train': 5 / 30, tokens_per_s: 4000 },
      best: { 'loss/train': 5 / 30 },
      parameters: 10,
      threads: 2,
      resumable: false,
      checkpointStep: 30,
    });
    const detail = await call.runs.get({ id: row.id });
    expect(detail.spec).toEqual(runSchema.parse(draft({ name: 'first, "best"' })));
    expect(detail.checkpoints.map(({ step }) => step)).toEqual([10, 20, 30]);
    rmSync(join(detail.folder, 'checkpoints', 'step-00000010.safetensors'));
    expect((await call.runs.get({ id: row.id })).checkpoints.map(({ step }) => step)).toEqual([20, 30]);

    const names = await call.metrics.names({ runs: [row.id] });
    expect(names).toEqual(['loss/train', 'tokens_per_s']);
    const [all] = await call.metrics.series({ runs: [row.id, 'unknown'], names: ['loss/train'], buckets: 1000 });
    expect(all).toMatchObject({ run: row.id, raw: 30, cursor: done.seq });
    expect(all.step).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    const [few] = await call.metrics.series({ runs: [row.id], names: ['loss/train'], buckets: 3, from: 1, to: 9 });
    expect([few.step, few.raw]).toEqual([[1, 3, 4, 6, 7, 9], 9]);
    const after = { [row.id]: all.cursor };
    expect((await call.metrics.series({ runs: [row.id], names, buckets: 10, after })).map(({ step }) => step)).toEqual([
      [],
      [],
    ]);

    const events = await call.runs.events({ id: row.id, after: 3, limit: 2 });
    expect(events.map(({ seq, kind }) => [seq, kind])).toEqual([
      [4, 'metric'],
      [5, 'metric'],
    ]);
    const told = await call.runs.events({ id: row.id, after: 0, limit: 100, readings: false });
    expect(told.length).toBeGreaterThan(2);
    expect(told.filter(({ kind }) => kind === 'metric' || kind === 'load')).toEqual([]);
    expect(told.at(-1)).toMatchObject({ kind: 'ended' });
    const csv = (await call.runs.csv({ ids: [row.id] })).split('\n');
    expect(csv.slice(0, 2)).toEqual([
      'run,name,metric,step,tokens,seconds,value',
      `${row.id},"first, ""best""",loss/train,1,40,0.01,5`,
    ]);
    expect(csv).toHaveLength(62);

    await until('a notice', async () => notices.some((notice) => notice.kind === 'runs' && notice.ids[0] === row.id));
    const measured = notices.filter((notice) => notice.kind === 'metrics');
    // One every 200 ms at most; 30 steps of 5 ms give no more than a few.
    expect(measured.length).toBeLessThan(10);
  });

  it('are renamed, trashed and brought back; what fails for one does not keep the others', async () => {
    const rows = await call.runs.create({ runs: [draft(), draft()] });
    const ids = rows.map(({ id }) => id);
    await call.runs.rename({ id: ids[0], name: 'new name' });
    expect(await refusal('runs', 'remove', { ids: ['nobody', ids[0]] })).toMatchObject({
      message: 'There is no run "nobody" in this lab.',
    });
    expect((await call.runs.list({})).map(({ id }) => id)).toEqual([ids[1]]);
    expect((await call.runs.list({ deleted: true }))[0]).toMatchObject({ id: ids[0], name: 'new name' });
    await call.runs.restore({ ids: [ids[0]] });
    expect((await call.runs.list({})).map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(await refusal('runs', 'get', { id: '../..' })).toMatchObject({
      message: 'id: there is no run "../.." in this lab',
    });
  });

  it('have an estimate that minds each limit', () => {
    const run = (budget: object) => {
      const id = `r${++next}`;
      insertRun(lab.runs.store, {
        id,
        name: id,
        spec: runSchema.parse(draft({ budget })),
        createdAt: 1,
        status: 'interrupted',
      });
      project(
        lab.runs.store,
        id,
        [
          { seq: 1, at: 1, kind: 'state', step: 0, status: 'running' },
          { seq: 2, at: 2, kind: 'metric', step: 10, tokens: 100, seconds: 5, values: {} },
        ],
        0,
      );
      return getRun(lab.runs.store, id)!;
    };
    expect(eta(run({ steps: 30 }))).toBe(10);
    expect(eta(run({ steps: 30, tokens: 160 }))).toBe(3);
    expect(eta(run({ steps: 30, seconds: 7 }))).toBe(2);
    // By the clock a step takes twice as long as its training.
    expect(eta(run({ steps: 30 }), 1)).toBe(20);
    expect(eta(run({ steps: 30, tokens: 160 }), 1)).toBe(6);
    expect(eta(run({ steps: 30, seconds: 7 }), 1)).toBe(4);
    expect(eta({ ...run({ steps: 30 }), status: 'finished' })).toBeNull();
    expect(eta({ ...run({ steps: 30 }), step: 0 })).toBeNull();
  });

  it('of the example fit, and read the same batches', () => {
    const specs = readDrafts(exampleRuns(), folder);
    expect(specs).toHaveLength(2);
    expect(specs[0].task).toEqual(specs[1].task);
    expect(specs[0].batch).toEqual(specs[1].batch);
    expect(specs[0].seed).toBe(specs[1].seed);
  });

  it('of the example are of the same size', async () => {
    const sizes = await Promise.all(
      exampleRuns().map(({ model }) => call.models.inspect({ model, tokens: 128, vocabulary: 256 })),
    );
    const [attention, mamba] = sizes.map(({ total }) => total.parameters);
    expect(Math.abs(attention / mamba - 1)).toBeLessThan(0.01);
  });
});

describe('texts', () => {
  it('are joined in order of their names and can be trained on', async () => {
    const file = await call.texts.add({
      name: 'Моя книга.txt',
      files: [
        { name: 'b.txt', text: 'two' },
        { name: 'a.txt', text: 'öne' },
      ],
    });
    expect(file).toMatchObject({ name: 'Моя книга.txt', bytes: 8 });
    expect(file.id).toMatch(/^text-[0-9a-z]{4}$/);
    expect(readFileSync(join(folder, 'texts', `${file.id}.txt`), 'utf8')).toBe('öne\ntwo');
    expect(await call.texts.list({})).toEqual([file]);
    const big = await call.texts.add({ name: 'x', files: [{ name: 'x', text: 'call me ishmael. '.repeat(100) }] });
    expect(makeTask('text', { source: big.id, tokens: 8 }, { seed: 1, lab: folder }).vocabulary).toBe(256);
    const preview = await call.tasks.preview({ id: 'text', options: { source: big.id, tokens: 8 }, rows: 2 });
    expect(preview.rows).toHaveLength(2);
    expect(preview.rows[0].tokens).toHaveLength(8);
    await call.texts.remove({ id: file.id });
    expect(await call.texts.list({})).toEqual([big]);
    expect((await refusal('texts', 'remove', { id: file.id })).message).toMatch(/there is no text/);
  });

  it('without a byte are refused in words', async () => {
    for (const files of [
      [],
      [{ name: 'a', text: '' }],
      [
        { name: 'a', text: '' },
        { name: 'b', text: '' },
      ],
    ])
      expect((await refusal('texts', 'add', { name: 'empty.txt', files })).message).toMatch(
        /empty\.txt .*a single byte; choose a file with text/,
      );
  });

  it('get ids that are safe as file names', () => {
    for (const name of ['../../etc/passwd', 'COM1', '', '.hidden', 'a'.repeat(300), 'my book.txt'])
      expect(freshId(name, new Set())).toMatch(/^[a-z0-9][a-z0-9-]{0,44}$/);
    expect(freshId('my book.txt', new Set())).toMatch(/^my-book-/);
  });

  it('that a task can not use are problems, not errors', async () => {
    const preview = await call.tasks.preview({ id: 'text', options: { source: 'nowhere' }, rows: 2 });
    expect(preview.problems).toMatchObject([{ path: 'run.task.options.source' }]);
    const unknown = await call.tasks.preview({ id: 'txt', options: {}, rows: 2 });
    expect(unknown.problems[0].message).toMatch(/unknown task/);
  });
});

describe('models, settings, cards', () => {
  it('save drafts, but nothing that is no model', async () => {
    const model = {
      format: 'archlab.model/1' as const,
      width: 8,
      positions: 'none' as const,
      layers: [],
      finalNorm: 'rms' as const,
      head: { tied: true },
    };
    const saved = await call.models.save({ name: 'empty yet', model });
    expect(await call.models.list({})).toEqual([saved]);
    const again = await call.models.save({ id: saved.id, name: 'renamed', model });
    expect(await call.models.list({})).toEqual([again]);
    await call.models.remove({ id: saved.id });
    expect(await call.models.list({})).toEqual([]);
    await call.models.restore({ id: saved.id });
    expect(await call.models.list({})).toEqual([again]);
    const wrong = await refusal('models', 'save', { name: 'x', model: { ...model, widht: 3 } });
    expect(wrong.problems).toMatchObject([{ path: 'model.widht', message: 'unknown key' }]);
  });

  it('inspect any value without an error', async () => {
    for (const model of [undefined, null, 5, 'x', [], {}, { format: 'archlab.model/1', width: 8, layers: [] }]) {
      const { problems } = await call.models.inspect({ model, tokens: 8, vocabulary: 16 });
      expect(problems.length).toBeGreaterThan(0);
    }
    for (const { model, objective } of await call.models.presets({})) {
      const { problems, total } = await call.models.inspect({ model, tokens: 64, vocabulary: 256, objective });
      expect(problems).toEqual([]);
      expect(total.parameters).toBeGreaterThan(0);
    }
  });

  it('keep settings, and the number of runs at once within bounds', async () => {
    await call.settings.set({ key: 'theme', value: 'dark' });
    await call.settings.set({ key: 'runs.atOnce', value: 2 });
    expect(await call.settings.get({})).toEqual({ theme: 'dark', 'runs.atOnce': 2 });
    expect((await refusal('settings', 'set', { key: 'runs.atOnce', value: 0 })).message).toMatch(/from 1 to 64/);
    expect((await refusal('settings', 'set', { key: 'big', value: 'x'.repeat(300_000) })).message).toMatch(
      /more than a setting holds/,
    );
  });

  it('tell what is there', async () => {
    expect((await call.blocks.list({})).map(({ id }) => id)).toEqual(
      expect.arrayContaining(['softmax_attention', 'mamba2', 'gated_mlp']),
    );
    expect((await call.tasks.list({})).map(({ id }) => id)).toContain('text');
    const info = await call.app.info({});
    expect(info).toMatchObject({ host: 'serve', folder, electron: null });
    expect(info.diskFreeBytes).toBeGreaterThan(0);
  });
});

describe('devices', () => {
  it('are asked in a process of their own, whose crash is an answer', async () => {
    expect(await call.devices.list({})).toMatchObject([{ id: 'cpu' }]);
    expect(await call.devices.test({ id: 'cpu' })).toMatchObject({ ok: true, gflops: 1 });
    expect(await call.devices.test({ id: 'reference' })).toMatchObject({
      ok: false,
      message: 'The driver is too old.',
    });
    expect(await call.devices.test({ id: 'webgpu' })).toMatchObject({
      ok: false,
      message: 'The process that tests devices crashed with SIGSEGV. Its last words: vkCreateDevice failed',
    });
  });

  it('that hang are given up', async () => {
    const impatient = devices({ probe: () => PROBE, now: Date.now } as Lab, 200);
    expect((await impatient.test({ id: 'tensorflow' })).message).toMatch(/did not answer within 0\.2 s/);
    await expect(ask(join(folder, 'missing.js'), [], 5000)).rejects.toThrow(/missing\.js/);
  });
});

describe('errors', () => {
  it('of the disk come as sentences, ours as internal and with a stack in the log', async () => {
    const [{ id }] = await call.runs.create({ runs: [draft()] });
    lab.runs.store.db.pragma('query_only = ON');
    expect((await refusal('settings', 'set', { key: 'a', value: 1 })).message).toMatch(/^The lab may not write to/);
    expect((await refusal('runs', 'remove', { ids: [id] })).message).toMatch(/^The lab may not write to/);
    lab.runs.store.db.pragma('query_only = OFF');
    const { sql } = lab.runs.store;
    lab.runs.store.sql = () => {
      throw new TypeError('undefined is not a function');
    };
    expect((await refusal('settings', 'get')).message).toBe('internal: undefined is not a function');
    expect(said.join('\n')).toMatch(/settings\.get: TypeError: undefined is not a function\n\s+at /);
    lab.runs.store.sql = sql;
  });
});

describe('notices', () => {
  it('are gathered for a moment', async () => {
    const heard: Notice[] = [];
    const gathered = new Notices(20);
    const stop = gathered.listen((notice) => heard.push(notice));
    gathered.tell({ kind: 'metrics', run: 'a', seq: 5 });
    gathered.tell({ kind: 'metrics', run: 'a', seq: 9 });
    gathered.tell({ kind: 'metrics', run: 'b', seq: 1 });
    gathered.tell({ kind: 'runs', ids: ['a'] });
    gathered.tell({ kind: 'runs', ids: ['b', 'a'] });
    gathered.tell({ kind: 'models' });
    gathered.tell({ kind: 'models' });
    expect(heard).toEqual([]);
    await new Promise((done) => setTimeout(done, 50));
    expect(heard).toEqual([
      { kind: 'models' },
      { kind: 'runs', ids: ['a', 'b'] },
      { kind: 'metrics', run: 'a', seq: 9 },
      { kind: 'metrics', run: 'b', seq: 1 },
    ]);
    stop();
    gathered.tell({ kind: 'texts' });
    await new Promise((done) => setTimeout(done, 50));
    expect(heard).toHaveLength(4);
    gathered.close();
  });
});
