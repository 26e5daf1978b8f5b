// The comparison with PyTorch, told by a stand-in that needs no torch: what is asked, checked and reported, and what is said where something is missing.
import { resolve } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { lineOf, type Row, runBench } from './bench';
import { TORCH_PYTHON, torchBlocks } from './torch-server';

const FAKE = resolve(import.meta.dirname, 'testing/torch.mjs');

async function rowsWith(python: string | undefined, fake: object = {}, options: object = {}): Promise<Row[]> {
  vi.stubEnv(TORCH_PYTHON, python);
  vi.stubEnv('FAKE_TORCH', JSON.stringify(fake));
  const rows: Row[] = [];
  const small = { configs: ['S'], blocks: ['softmax_attention'], precisions: ['float32'] as const, threads: 1 };
  for await (const row of runBench({ only: ['torch'], seconds: 0.01, ...small, ...options })) rows.push(row);
  return rows.slice(1); // past the machine's
}
afterEach(() => vi.unstubAllEnvs());

/** The loss of our first step, by way of the complaint about another one. */
async function ourLoss(): Promise<number> {
  const message = await rowsWith(FAKE).then(
    () => '',
    (error: Error) => error.message,
  );
  expect(message).toMatch(/^internal: the loss of softmax_attention is 5\.\d+, and 0 in PyTorch/);
  return Number(/is ([\d.]+),/.exec(message)![1]);
}

it('takes turns with PyTorch on one model, and reports both with their ratio', async () => {
  const rows = await rowsWith(FAKE, { loss: await ourLoss() });
  expect(rows.map(({ kind }) => kind)).toEqual(['torch-step', 'torch-decode']);
  for (const row of rows) {
    if (row.kind !== 'torch-step' && row.kind !== 'torch-decode') throw new Error(row.kind);
    expect(row).toMatchObject({ version: '0.0-fake', config: 'S', block: 'softmax_attention', threads: 1 });
    expect(row.parameters).toBeGreaterThan(500_000);
    expect(row.torch).toMatchObject({ median: 5000, min: 5000, max: 5000, samples: row.ours.samples });
    expect(row.timesTorchCpu.min).toBeCloseTo(5000 / row.oursCpu.max, 6);
    expect(lineOf(row)).toMatch(/ours .* PyTorch 0\.0-fake .* times as fast/);
  }
  const [step, decode] = rows;
  if (step.kind !== 'torch-step' || decode.kind !== 'torch-decode') throw new Error('rows in another order');
  expect(step).toMatchObject({ captured: true, form: 'quick', otherForms: {}, lossDifference: 0 });
  expect(step.timesTorch.max).toBeCloseTo(5000 / step.ours.min, 6);
  // Bursts without their first tokens, and of each round the ratio of medians.
  const { burst, leftOut, rounds } = decode;
  expect(decode).toMatchObject({ captured: true, form: 'quick', context: 1024 });
  expect(leftOut).toBeLessThan(burst / 2);
  expect(decode.ours.samples).toBe(rounds * (burst - leftOut));
  expect(decode.timesTorch.samples).toBe(rounds);
  expect(decode.timesTorch.max).toBeLessThanOrEqual(5000 / decode.ours.min);
});

it('decodes beside PyTorch alone when that is asked for', async () => {
  const rows = await rowsWith(FAKE, {}, { only: ['torch-decode'] });
  expect(rows.map(({ kind }) => kind)).toEqual(['torch-decode']);
});

it('times the form that autograd differentiates too, where a faster one has its backward by hand', async () => {
  const forms = { 'by hand': 1, autograd: 2 };
  const [row] = await rowsWith(FAKE, { loss: await ourLoss(), forms });
  if (row.kind !== 'torch-step') throw new Error(row.kind);
  expect(row).toMatchObject({ form: 'by hand', torch: { median: 5000 }, otherForms: { autograd: {} } });
  const { torch, timesTorch } = row.otherForms.autograd;
  expect(torch).toMatchObject({ median: 8000, samples: row.ours.samples });
  expect(timesTorch.max).toBeCloseTo(8000 / row.ours.min, 6);
  expect(lineOf(row)).toMatch(/\(by hand\): .*\n {2}PyTorch 8000 .*\(autograd\): .* times as fast/);
});

it('refuses a PyTorch model of another size', async () => {
  await expect(rowsWith(FAKE, { more: 1 })).rejects.toThrow(
    /^internal: softmax_attention has \d+ parameters, and \d+ in/,
  );
});

it('says in a sentence what is missing', async () => {
  const why = async (...given: Parameters<typeof rowsWith>) => (await rowsWith(...given)).map(lineOf);
  expect(await why(undefined)).toEqual([
    `PyTorch left out: ${TORCH_PYTHON} names no Python; set it to one that imports torch`,
  ]);
  const [absent] = await why('/nowhere/python');
  expect(absent).toContain(`${TORCH_PYTHON} names /nowhere/python: could not be started: spawn /nowhere/python ENOENT`);
  const [without] = await why(FAKE, { absent: true });
  expect(without).toContain(`names ${FAKE}: ModuleNotFoundError: No module named 'torch'`);
  const [failed] = await why(FAKE, { fails: true, loss: await ourLoss() });
  expect(failed).toBe('S softmax_attention beside PyTorch, float32 left out: PyTorch: ValueError: no');
});

it('measures the blocks that it has a program for', async () => {
  for (const block of ['softmax_attention', 'mamba2', 'hydra', 'slstm']) expect(torchBlocks()).toContain(block);
  expect(await rowsWith(FAKE, {}, { blocks: ['atlas'] })).toEqual([]);
});
