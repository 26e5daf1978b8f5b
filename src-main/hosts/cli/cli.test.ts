// The command line's own decisions: what is compared, how it is summed up, how progress and failures read.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunRow } from '../../rpc/contract';
import { readDrafts } from '../../rpc/runs';
import { createRunFolder, labPaths } from '../../runs/folder';
import { SpecError } from '../../spec/error';
import type { RunEvent } from '../../spec/event';
import { CommandError, verdict } from './command';
import { type CompareOptions, draft, judge, outcomeTable, sizeNote } from './compare';
import { bytes, duration, moments, short, spread, table } from './format';
import { readLab } from './lab';
import { watch } from './progress';

/** A folder that goes with its scope. */
function temporary(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'archlab-cli-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const options: CompareOptions = {
  blocks: 'softmax_attention',
  task: 'text',
  steps: 40,
  seeds: 2,
  width: 32,
  layers: 3,
  batch: 4,
  lr: 1e-3,
  tokens: 64,
  device: 'cpu',
};

it('reads a lab folder without opening it', async () => {
  using folder = temporary();
  const [spec] = readDrafts([draft('softmax_attention', 1, 'cpu', options, 'float32')], folder.path);
  const id = createRunFolder(labPaths(folder.path), spec);
  using lab = readLab(folder.path);
  expect(await lab.runs.list({})).toMatchObject([{ id, trouble: null, seed: 1 }]);
});

describe('compare', () => {
  it('makes specs that the lab takes, alike but for block and seed', () => {
    const [a, b] = readDrafts([draft('softmax_attention', 1, 'cpu', options), draft('mamba2', 2, 'cpu', options)], '.');
    expect(a.model.layers).toEqual([{ repeat: 3, layers: [{ block: 'softmax_attention' }, { block: 'gated_mlp' }] }]);
    expect([a.seed, b.seed, a.budget.steps, a.task.options.tokens]).toEqual([1, 2, 40, 64]);
    const rest = ({ model: _m, seed: _s, name: _n, ...others }: typeof a) => others;
    expect(rest(a)).toEqual(rest(b));
  });

  it('makes runs of two precisions alike but for precision and name', () => {
    const [a, b] = readDrafts(
      [
        draft('mamba2', 1, 'cpu', { ...options, every: 5 }),
        draft('mamba2', 1, 'cpu', { ...options, every: 5 }, 'bfloat16'),
      ],
      '.',
    );
    expect([a.precision, b.precision, a.evaluation.every, b.name]).toEqual([
      'float32',
      'bfloat16',
      5,
      'mamba2, bfloat16, seed 1',
    ]);
    const rest = ({ precision: _p, name: _n, ...others }: typeof a) => others;
    expect(rest(a)).toEqual(rest(b));
  });

  it('refuses a length for a task that sets its own, and an unknown task', () => {
    expect(() => draft('mamba2', 1, 'cpu', { ...options, task: 'mqar' })).toThrow('leave --tokens out');
    expect(() => draft('mamba2', 1, 'cpu', { ...options, task: 'txt' })).toThrow(
      '--task: txt is not a task; known are',
    );
  });

  it('joins the seeds of a block', () => {
    const row = (id: string, loss: number, median: number) =>
      ({
        id,
        last: { 'loss/validation': loss },
        tokensPerSecond: { median, low: median - 100, high: median + 100 },
        parameters: 123_456,
        stateBytes: 2048,
      }) as unknown as RunRow;
    const outcomes = judge(
      [
        { block: 'a', precision: 'float32', row: row('one', 2, 1000) },
        { block: 'a', precision: 'float32', row: row('two', 4, 3000) },
        { block: 'b', precision: 'float32', row: row('three', 1, 500) },
      ],
      ['loss/validation'],
    );
    expect(outcomes[0]).toMatchObject({
      runs: ['one', 'two'],
      tokensPerSecond: { median: 2000, low: 900, high: 3100 },
    });
    expect(outcomeTable(outcomes).split('\n')).toEqual([
      'block  loss/validation (n)      95 % interval  tokens/s [low - high]  parameters    state',
      '-----  -------------------  -----------------  ---------------------  ----------  -------',
      'a      3.0000 ± 1.4142 (2)  -9.7062 - 15.7062  2.00 k [900 - 3.10 k]       123 k  2.0 KiB',
      'b               1.0000 (1)                  -        500 [400 - 600]       123 k  2.0 KiB',
    ]);
  });

  it('tests the losses of the seeds against the lowest, as the Compare page does', () => {
    const runs = (block: string, losses: number[]) =>
      losses.map((loss, i) => ({
        block,
        precision: 'float32' as const,
        row: { id: `${block}${i}`, last: { 'loss/validation': loss }, tokensPerSecond: null } as unknown as RunRow,
      }));
    const outcomes = judge([...runs('a', [2, 2.1, 2.2]), ...runs('b', [3, 3.1, 3.2])], ['loss/validation']);
    // t = 1 / (0.1 · √(2/3)) = 12.25 with four degrees of freedom.
    expect(outcomes.map(({ p }) => p)).toEqual([null, expect.closeTo(0.000255, 6)]);
    expect(outcomeTable(outcomes)).toMatch(/^a .* 1\.8516 - 2\.3484 +- /m);
    expect(outcomeTable(outcomes)).toMatch(/^b .* < 0\.001 /m);
    expect(judge(runs('a', []), ['loss/validation'])).toEqual([]);
    const none = judge(
      [{ ...runs('a', [1])[0], row: { id: 'x', last: {}, tokensPerSecond: null } as unknown as RunRow }],
      ['loss/validation'],
    );
    expect(none[0]).toMatchObject({ p: null, metrics: { 'loss/validation': [] } });
    expect(outcomeTable(none)).toContain('-');
  });

  it('says by how much the models differ in size', () => {
    expect(sizeNote([{ parameters: 100 }, { parameters: 101 }, { parameters: null }])).toBeUndefined();
    expect(sizeNote([{ parameters: 100 }])).toBeUndefined();
    expect(sizeNote([{ parameters: 100 }, { parameters: 129 }])).toMatch(
      /^Parameters differ by 29\.0 %: .*Train dialog/,
    );
  });

  it('keeps the precisions of a block apart, and names them where there are two', () => {
    const row = { id: 'one', last: { 'loss/validation': 2 }, tokensPerSecond: null, parameters: 9, stateBytes: 8 };
    const outcomes = judge(
      (['float32', 'bfloat16'] as const).map((precision) => ({ block: 'a', precision, row: row as unknown as RunRow })),
      ['loss/validation'],
    );
    expect(outcomeTable(outcomes).split('\n').slice(2)).toEqual([
      'a      float32             2.0000 (1)                      -           9    8 B',
      'a      bfloat16            2.0000 (1)                      -           9    8 B',
    ]);
  });
});

describe('progress', () => {
  it('takes the pace after the first reading and counts down', () => {
    const view = watch(100);
    const metric = (step: number, seconds: number): RunEvent => ({
      seq: step,
      at: seconds * 1000,
      kind: 'metric',
      step,
      tokens: 0,
      seconds,
      values: { 'loss/train': 5 / step },
    });
    view.see(metric(10, 100)); // a slow warm-up
    expect(view.left).toBe('-');
    view.see(metric(20, 110));
    expect([view.step, view.loss, view.left]).toEqual([20, '0.250', '1 min 20 s']);
  });
});

describe('numbers', () => {
  it('are short and carry their units', () => {
    expect([short(0), short(999), short(1234), short(2.5e6), short(7e9, 'FLOP'), short(null)]).toEqual([
      '0',
      '999',
      '1.23 k',
      '2.50 M',
      '7.00 GFLOP',
      '-',
    ]);
    expect([bytes(0), bytes(1536), bytes(5 * 2 ** 40), bytes(null)]).toEqual(['0 B', '1.5 KiB', '5120.0 GiB', '-']);
    expect([duration(0.4), duration(95), duration(7260)]).toEqual(['0 s', '1 min 35 s', '2 h 1 min']);
  });
  it('of one seed have no spread', () => {
    expect(moments([2])).toEqual({ mean: 2, std: null });
    expect([spread([2]), spread([])]).toEqual(['2.0000 (1)', '-']);
  });
  it('stand in aligned columns', () => {
    expect(table(['a', '>bb'], [['xyz', '1']])).toBe('a    bb\n---  --\nxyz   1');
  });
});

describe('failures', () => {
  it('are sentences with the right code, and a fault of our own shows where it is', () => {
    expect(verdict(new CommandError('no such run'))).toEqual({ text: 'no such run', code: 1 });
    expect(verdict(new CommandError('what?', 2)).code).toBe(2);
    expect(verdict(new SpecError('is missing', 'run.model'))).toEqual({ text: 'run.model: is missing', code: 2 });
    expect(verdict(Object.assign(new Error('no space left'), { code: 'ENOSPC' }))).toEqual({
      text: 'no space left',
      code: 1,
    });
    expect(verdict(new Error('internal: odd')).text).toMatch(/internal: odd\n\s+at /);
  });
});
