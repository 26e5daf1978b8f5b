// Grouping by seeds, the differences of specs, the summary.
import { describe, expect, it } from 'vitest';
import type { RunRow } from '../../../src-main/rpc/contract';
import type { Node } from '../../../src-main/spec/model';
import { type RunDraft, type RunSpec, runSchema } from '../../../src-main/spec/run';
import { markOf } from '../../charts/colours';
import { plan, titleOf } from './charts';
import { parameterSpread, split, summaryColumns, testsAgainstBest } from './columns';
import { align, diffSpecs, oneLine } from './diff';
import { commonName, distinctName, groupBySeeds } from './groups';
import { left } from './left';
import { bestOf, type SummaryRow, summarise } from './summary';

function spec(
  rest: Partial<RunDraft> = {},
  layers: Node[] = [{ block: 'softmax_attention', options: { heads: 4 } }, { block: 'gated_mlp' }],
): RunSpec {
  return runSchema.parse({
    format: 'archlab.run/1',
    model: { format: 'archlab.model/1', width: 64, layers },
    task: { id: 'text', options: { tokens: 128 } },
    budget: { steps: 100 },
    ...rest,
  });
}

describe('seeds', () => {
  it('group what differs in seed and name alone', () => {
    const specs: Record<string, RunSpec> = {
      a: spec({ seed: 1, name: 'x' }),
      b: spec({ seed: 2, name: 'y' }),
      c: spec({ seed: 1, budget: { steps: 200 } }),
    };
    expect(groupBySeeds(['a', 'b', 'c', 'd'], (id) => specs[id])).toEqual([
      { key: 'a', runs: ['a', 'b'], repeats: [] },
      { key: 'c', runs: ['c'], repeats: [] },
      { key: 'd', runs: ['d'], repeats: [] },
    ]);
  });
  it('count once, however often a run was repeated: the one that came furthest stands for its seed', () => {
    const specs: Record<string, RunSpec> = { a: spec({ seed: 1 }), again: spec({ seed: 1 }), b: spec({ seed: 2 }) };
    const steps: Record<string, number> = { a: 40, again: 100, b: 100 };
    expect(
      groupBySeeds(
        ['a', 'again', 'b'],
        (id) => specs[id],
        (id) => steps[id]!,
      ),
    ).toEqual([{ key: 'a', runs: ['again', 'b'], repeats: ['a'] }]);
  });
  it('have a common name', () => {
    expect(commonName(['mamba2 · seed 1', 'mamba2 · seed 2'])).toBe('mamba2');
    expect(commonName(['mamba2-s1', 'mamba2-s12'])).toBe('mamba2');
    expect(commonName(['mamba2 (seed 1)', 'mamba2 (seed 2)'])).toBe('mamba2');
    expect(commonName(['Mamba-2 · seed 4', 'Mamba-2, wide'])).toBe('Mamba-2');
    expect(commonName(['run 1', 'run 12'])).toBe('run');
    expect(commonName(['left', 'right'])).toBe('left');
    expect(commonName(['GPT 4'])).toBe('GPT 4');
  });
});

it('gives each metric a heading in words, and tells those of slices from those of all rows', () => {
  const t = (key: string) => `<${key}>`;
  const plans = plan(
    new Set([
      'loss/train',
      'accuracy/validation',
      'accuracy_sample/validation[kv=8]',
      'loss/validation[len=64]',
      'odd_one',
    ]),
  );
  expect(plans.filter(({ slice }) => slice).map((one) => titleOf(one, t))).toEqual([
    '<compare.charts.accuracySample>: kv = 8',
    '<compare.charts.lossValidation>: len = 64',
  ]);
  expect(plans.filter(({ slice }) => !slice).map((one) => titleOf(one, t))).toEqual([
    '<compare.charts.loss>',
    '<compare.charts.throughput>',
    '<compare.charts.accuracy>',
    'odd one',
  ]);
});

it('tells how far a run at work has come, and of others nothing', () => {
  const run = { status: 'running' as const, step: 299, steps: 300, etaSeconds: 0.4 };
  expect(left(run)).toEqual({ share: 0.99, seconds: 0.4 });
  expect(left({ ...run, etaSeconds: null })).toBeNull();
  expect(left({ ...run, status: 'finished' })).toBeNull();
});

it('tells equal names apart', () => {
  expect([0, 1, 2].map((i) => distinctName(['a', 'b', 'a'], i))).toEqual(['a', 'b', 'a (2)']);
});

it('lines lists up on a longest common subsequence', () => {
  expect(align(['a', 'b', 'c'], ['a', 'c', 'd'])).toEqual([
    [0, 0],
    [1, null],
    [2, 1],
    [null, 2],
  ]);
  expect(align([], ['x'])).toEqual([[null, 0]]);
});

describe('differences', () => {
  it('are none between equal specs, whatever the order of keys or the name', () => {
    expect(diffSpecs([spec({ name: 'a' }), spec({ name: 'b' })])).toEqual([]);
    expect(diffSpecs([spec()])).toEqual([]);
  });
  it('flatten nested keys', () => {
    expect(diffSpecs([spec(), spec({ optimiser: { kind: 'adamw', lr: 0.003 }, seed: 7 })])).toEqual([
      { path: 'optimiser.lr', values: ['0.001', '0.003'], kind: 'changed' },
      { path: 'seed', values: ['1', '7'], kind: 'changed' },
    ]);
  });
  it('tell a key that only one has', () => {
    const rows = diffSpecs([spec(), spec({ optimiser: { kind: 'sgd' } })]);
    expect(rows).toContainEqual({ path: 'optimiser.momentum', values: [null, '0.9'], kind: 'added' });
    expect(rows).toContainEqual({ path: 'optimiser.beta1', values: ['0.9', null], kind: 'removed' });
  });
  it('line blocks up before they compare options', () => {
    const more = spec({}, [
      { block: 'mamba2' },
      { block: 'softmax_attention', options: { heads: 8 } },
      { block: 'gated_mlp' },
    ]);
    expect(diffSpecs([spec(), more])).toEqual([
      { path: 'model.layers[0] mamba2', values: [null, 'mamba2'], kind: 'added' },
      { path: 'model.layers[1] softmax_attention · heads', values: ['4', '8'], kind: 'changed' },
    ]);
  });
  it('look into repeats and branches', () => {
    const a = spec({}, [
      { repeat: 2, layers: [{ block: 'mamba2' }] },
      { parallel: [[{ block: 'mamba2' }], [{ block: 'gated_mlp' }]], combine: 'sum' },
    ]);
    const b = spec({}, [
      { repeat: 4, layers: [{ block: 'mamba2', norm: 'layer' }] },
      { parallel: [[{ block: 'mamba2' }], [{ block: 'softmax_attention' }]], combine: 'sum' },
    ]);
    expect(diffSpecs([a, b]).map(({ path, values, kind }) => [path, values.join(' | '), kind])).toEqual([
      ['model.layers[0] repeat · times', '2 | 4', 'changed'],
      ['model.layers[0] repeat · layers[0] mamba2 · norm', 'rms | layer', 'changed'],
      ['model.layers[1] parallel · branch 1[0] gated_mlp', 'gated_mlp | ', 'removed'],
      ['model.layers[1] parallel · branch 1[1] softmax_attention', ' | softmax_attention', 'added'],
    ]);
  });
  it('take a default that is said aloud for the same', () => {
    const optionsOf = () => ({ heads: { kind: 'int' as const, default: 4, min: 1, max: 64, help: '' } });
    expect(diffSpecs([spec(), spec({}, [{ block: 'softmax_attention' }, { block: 'gated_mlp' }])], optionsOf)).toEqual(
      [],
    );
  });
  it('compare three at once', () => {
    const rows = diffSpecs([spec(), spec({ seed: 2 }), spec({ seed: 3 })]);
    expect(rows).toEqual([{ path: 'seed', values: ['1', '2', '3'], kind: 'changed' }]);
  });
  it('fit one line', () => {
    expect(oneLine(diffSpecs([spec(), spec({ optimiser: { kind: 'adamw', lr: 0.003 } })]))).toBe('lr 0.001 › 0.003');
  });
});

describe('summary', () => {
  const row = (id: string, rest: Partial<RunRow>): RunRow =>
    ({
      id,
      blocks: 'mamba2',
      last: {},
      best: {},
      tokensPerSecond: null,
      device: 'cpu',
      deviceDetail: 'avx2',
      threads: 2,
      step: 5,
      steps: 10,
      parameters: 10,
      stateBytes: 20,
      stepFlops: 30,
      ...rest,
    }) as RunRow;
  const rows = [
    row('a', {
      last: { 'loss/validation': 2 },
      best: { 'loss/validation': 1.5 },
      tokensPerSecond: { median: 100, low: 90, high: 110 },
    }),
    row('b', {
      last: { 'loss/validation': 4 },
      best: { 'loss/validation': 2.5 },
      tokensPerSecond: { median: 200, low: 150, high: 210 },
    }),
    row('c', { last: { 'loss/train': 3 }, best: { 'loss/train': 2.9 } }),
  ];
  const entry = (runs: string[]) => ({ key: runs[0]!, label: '', mark: markOf(0), runs, grouped: runs.length > 1 });
  const made = summarise(
    [entry(['a', 'b']), entry(['c']), entry(['gone'])],
    (id) => rows.find((r) => r.id === id),
    () => spec(),
  );

  it('gives mean and spread over seeds, and falls back to training loss', () => {
    expect(made).toHaveLength(2);
    expect(made[0]!.final).toEqual({ mean: 3, std: Math.SQRT2, n: 2 });
    expect(made[0]!.speed).toEqual({ median: 150, low: 90, high: 210 });
    expect(made[0]!.device).toBe('cpu (avx2)');
    expect(made[1]!.fromTraining).toBe(true);
    expect(made[1]!.best!.mean).toBe(2.9);
  });
  it('names a best only among several', () => {
    expect(bestOf(made, (r) => r.best?.mean, 'lower')).toBe(2);
    expect(bestOf(made, (r) => r.speed?.median, 'higher')).toBeNull();
  });
});

describe('summary columns', () => {
  const format = { compact: String, bytes: String, flops: String, whole: String };
  const base: SummaryRow = {
    entry: { key: 'a', label: 'a', runs: ['a'], mark: markOf(0), grouped: false },
    blocks: 'mamba2',
    final: { mean: 2, std: 0, n: 1 },
    best: { mean: 2, std: 0, n: 1 },
    accuracy: null,
    bestAccuracy: null,
    fromTraining: false,
    speed: { median: 20, low: 10, high: 30 },
    parameters: 5,
    stateBytes: null,
    stepFlops: 7,
    device: 'cpu',
    threads: '2',
    precision: 'float32',
    step: 10,
    steps: 10,
    n: 1,
    repeats: 0,
  };
  const keys = (columns: readonly { key: string }[]) => columns.map(({ key }) => key);
  const cut = (rows: SummaryRow[]) => split(summaryColumns(rows, format, 'en'), rows);

  it('say once what is the same for all rows, and in a column what is not', () => {
    const { shown, same } = cut([base, { ...base, threads: '1', stateBytes: 3 }]);
    expect(keys(shown)).toEqual(['final', 'best', 'speed', 'parameters', 'state', 'flops', 'threads']);
    expect(keys(same)).toEqual(['device', 'precision', 'steps', 'n']);
    expect(keys(cut([base, { ...base, step: 3 }]).shown)).toContain('steps');
    expect(keys(cut([]).same)).toEqual([]);
  });

  it('test each row against the one with the lowest loss, where seeds allow it', () => {
    const best = { ...base, final: { mean: 2, std: 0.01, n: 3 } };
    const near = { ...base, final: { mean: 2.005, std: 0.01, n: 3 } };
    const far = { ...base, final: { mean: 2.2, std: 0.01, n: 3 } };
    const alone = { ...base, final: { mean: 2.1, std: 0, n: 1 } };
    const tests = testsAgainstBest([best, near, far, alone]);
    expect([...tests.keys()]).toEqual([near, far]);
    expect(tests.get(near)).toBeGreaterThan(0.3);
    expect(tests.get(far)).toBeLessThan(0.001);
    const { shown } = cut([best, near, far, alone]);
    expect(keys(shown)).toContain('p');
    const p = shown.find(({ key }) => key === 'p')!;
    expect([best, near, far, alone].map(p.text)).toEqual(['–', '0.57', '< 0.001', '–']);
    expect(shown[0]!.interval!(far)).toEqual([expect.stringMatching(/^2\.175/), expect.stringMatching(/^2\.224/)]);
    // A training loss is no measurement of what was learnt.
    expect(testsAgainstBest([best, { ...far, fromTraining: true }]).size).toBe(0);
    expect(keys(cut([base, alone]).shown)).not.toContain('p');
  });

  it('tell how far the parameters lie apart', () => {
    expect(parameterSpread([base, { ...base, parameters: 6 }, { ...base, parameters: null }])).toBeCloseTo(0.2);
    expect(parameterSpread([base, { ...base, parameters: null }])).toBeNull();
  });

  it('have an accuracy where a task has one', () => {
    expect(keys(cut([base, { ...base, bestAccuracy: { mean: 0.5, std: 0, n: 1 } }]).shown)).toContain('accuracy');
  });

  it('show the spread below the measure, and copy both', () => {
    const row = { ...base, final: { mean: 2.5, std: 0.25, n: 3 } };
    const [final, best, speed] = cut([row]).shown;
    expect(final.text(row)).toMatch(/^2\.50* ± 0\.250*$/);
    expect(final.lines!(row)).toEqual([expect.stringMatching(/^2\.50*$/), expect.stringMatching(/^± 0\.250*$/)]);
    expect(best.lines!(row)[1]).toBe('');
    expect([speed.text(row), speed.lines!(row)]).toEqual(['20 [10, 30]', ['20', '[10, 30]']]);
    expect(speed.lines!({ ...row, speed: null })).toEqual(['–', '']);
  });
});
