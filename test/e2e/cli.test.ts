// The command line on the built lab: trains into a folder, is interrupted, goes on, and tells apart what it was asked wrongly.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { archlab, root, temporaryFolder } from './lab';

const { folder, [Symbol.dispose]: removeFolder } = temporaryFolder();
afterAll(removeFolder);

const spec = join(folder, 'spec.json');
const out = join(folder, 'run');
const draft = {
  format: 'archlab.run/1',
  model: { format: 'archlab.model/1', width: 32, layers: [{ block: 'softmax_attention' }] },
  task: { id: 'text', options: { tokens: 32 } },
  budget: { steps: 2000 },
  batch: { size: 4 },
  samples: { every: 0 },
};
writeFileSync(spec, JSON.stringify(draft));
const events = () =>
  existsSync(join(out, 'events.jsonl'))
    ? readFileSync(join(out, 'events.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];

it('ends in good order at Ctrl-C, and goes on where it was', async () => {
  const child = spawn(process.execPath, [resolve(root, 'out/main/cli.js'), 'train', spec, '--out', out], {
    stdio: 'ignore',
  });
  const ended = new Promise((done) => child.on('exit', done));
  await expect.poll(() => events().at(-1)?.step ?? 0).toBeGreaterThan(3);
  child.kill('SIGINT');
  expect(await ended).toBe(1);
  const stopped = events().at(-1);
  expect(stopped).toMatchObject({ kind: 'ended', status: 'stopped' });

  const again = await archlab(['train', '--out', out, '--resume', '--json']);
  expect(again.code).toBe(0);
  expect(JSON.parse(again.stdout)).toMatchObject({ status: 'finished', step: 2000, folder: out });
  const steps = events()
    .filter(({ kind }) => kind === 'metric')
    .map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: 2000 }, (_, i) => i + 1));
  expect(events().map(({ seq }) => seq)).toEqual(events().map((_, i) => i + 1));

  const done = await archlab(['train', '--out', out, '--resume']);
  expect(done).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('has finished; there is nothing to resume'),
  });
});

it('lets the trained model write: streaming to stdout, the same text from the same seed', async () => {
  const write = (...more: string[]) =>
    archlab(['generate', out, '--prompt', 'Call me', '--length', '40', '--seed', '3', ...more]);
  const streamed = await write();
  expect(streamed.code).toBe(0);
  expect(streamed.stdout.length).toBeGreaterThan(20);
  expect(streamed.stderr).toMatch(/^40 tokens, .* tokens\/s, .* of state, in float32$/m);
  const json = JSON.parse((await write('--json')).stdout);
  expect(json).toMatchObject({ run: 'run', prompt: 'Call me', tokens: 40, text: streamed.stdout.slice(0, -1) });
  expect(json.stateBytes).toBeGreaterThan(0);
  expect(await write('--top-p', '2')).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('topP') });
  expect(await archlab(['generate', 'nobody', '--folder', folder])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no run "nobody"'),
  });
});

it('lets a model of masked tokens fill in gaps, the same from the same seed', async () => {
  const masked = join(folder, 'masked.json');
  const run = join(folder, 'gaps');
  const model = { ...draft.model, layers: [{ block: 'hydra' }] };
  writeFileSync(masked, JSON.stringify({ ...draft, model, budget: { steps: 20 }, objective: { kind: 'masked' } }));
  expect((await archlab(['train', masked, '--out', run])).code).toBe(0);
  const fill = (...more: string[]) => archlab(['fill', run, '--prompt', 'The wh___ swims', '--seed', '3', ...more]);
  const filled = await fill();
  expect(filled).toMatchObject({ code: 0, stdout: expect.stringMatching(/^The wh.+ swims\n$/s) });
  expect(filled.stdout).not.toContain('_');
  expect(filled.stderr).toMatch(/^3 tokens filled in, .* tokens\/s, in float32$/m);
  const json = JSON.parse((await fill('--json')).stdout);
  expect(json).toMatchObject({ run: 'gaps', passes: 16, text: filled.stdout.slice(0, -1), tokens: 3 });
  expect(await fill('--passes', '0')).toMatchObject({ code: 2, stderr: expect.stringContaining('fill.passes') });
  expect(await archlab(['fill', out, '--prompt', 'a_b'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('can not fill in gaps'),
  });
});

it('names what is wrong in a spec, and makes no folder for it', async () => {
  const bad = join(folder, 'bad.json');
  writeFileSync(bad, JSON.stringify({ ...draft, budgett: 1, model: { ...draft.model, layers: [{ block: 'mamba' }] } }));
  const { code, stdout, stderr } = await archlab(['train', bad, '--out', join(folder, 'none')]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('run.budgett: unknown key; did you mean budget?');
  expect(existsSync(join(folder, 'none'))).toBe(false);
  expect((await archlab(['train'])).code).toBe(2);
  expect((await archlab(['dance'])).code).toBe(2);
  expect((await archlab(['--help'])).code).toBe(0);
});

it('compares, lists and exports, with JSON alone on stdout', async () => {
  const lab = join(folder, 'lab');
  const small = [
    '--steps',
    '3',
    '--seeds',
    '2',
    '--batch',
    '2',
    '--tokens',
    '16',
    '--width',
    '32',
    '--layers',
    '1',
    '--folder',
    lab,
  ];
  const compared = await archlab(['compare', '--blocks', 'softmax_attention,mamba2', ...small]);
  expect(compared.code).toBe(0);
  expect(compared.stdout).toMatch(/softmax_attention +\d\.\d{4} ± \d\.\d{4} \(2\)/);
  expect(compared.stderr).toContain('mamba2, seed 2 of 2: step 3 of 3');

  const listed = JSON.parse((await archlab(['list', '--json', '--folder', lab])).stdout);
  expect(listed.map(({ status, step }: { status: string; step: number }) => `${status} ${step}`)).toEqual(
    Array(4).fill('finished 3'),
  );
  const csv = join(folder, 'points.csv');
  expect((await archlab(['export', listed[0].id, '--out', csv, '--folder', lab])).code).toBe(0);
  expect(readFileSync(csv, 'utf8').split('\n')[0]).toBe('run,name,metric,step,tokens,seconds,value');
  const whole = await archlab(['export', listed[0].id, '--format', 'json', '--folder', lab]);
  expect(JSON.parse(whole.stdout).events.at(-1)).toMatchObject({ kind: 'ended', status: 'finished' });
});

it('checks golden cases, and fails where a known block strays', async () => {
  const golden = join(root, 'test', 'golden', 'ssd_scan');
  const { code, stdout } = await archlab(['parity', golden, '--json']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, device: 'cpu' });

  // The same case with one byte of its last tensor changed.
  const strayed = join(folder, 'golden');
  mkdirSync(strayed);
  for (const [name, change] of [
    ['unknown', 'no_such_block'],
    ['ssd_scan', 'ssd_scan'],
  ]) {
    const json = JSON.parse(readFileSync(join(golden, 'p1_small.json'), 'utf8'));
    writeFileSync(join(strayed, `${name}.json`), JSON.stringify({ ...json, block: change }));
    const bytes = readFileSync(join(golden, 'p1_small.safetensors'));
    bytes[bytes.length - 1] ^= 0x41;
    writeFileSync(join(strayed, `${name}.safetensors`), bytes);
  }
  const broken = await archlab(['parity', strayed]);
  expect(broken.code).toBe(1);
  expect(broken.stdout).toContain('no_such_block');
  expect(broken.stdout).toContain('FAILS');
});

it('proves a device by computing on it', async () => {
  const { code, stdout } = await archlab(['doctor', '--json', '--folder', folder]);
  expect(code).toBe(0);
  const { devices, folder: named } = JSON.parse(stdout);
  expect(named).toBe(folder);
  expect(devices.find(({ id }: { id: string }) => id === 'cpu')).toMatchObject({
    ok: true,
    test: expect.stringContaining('is right to'),
  });
});
