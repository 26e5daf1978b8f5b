// Specs from outside: what is read, what is refused, and in which words.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { BlockRules, Catalogue } from './card';
import { SpecError } from './error';
import { countBlocks, parseModel, walk } from './model';
import { bool, checkOptions, choice, complete, float, int, interval, list, nearest } from './options';
import { parseRun } from './run';

const rules = (extra: Partial<BlockRules> = {}): BlockRules => ({
  role: 'mixer',
  options: { heads: int(4, { min: 1, max: 64, help: 'heads' }), dState: int(16, { help: 'state' }) },
  ...extra,
});
const catalogue: Catalogue = new Map([
  [
    'softmax_attention',
    rules({
      rules: ({ heads }, width, path) =>
        width % Number(heads) ? [{ path: `${path}.heads`, message: 'does not divide' }] : [],
    }),
  ],
  ['mamba2', rules()],
  ['gated_mlp', rules({ role: 'channel' })],
  ['ssd_scan', rules({ role: 'operator' })],
]);
const tasks = new Map([['text', { options: { length: int(128, { help: 'T' }) } }]]);
const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), 'utf8'));
const refusal = (run: () => unknown): SpecError => {
  try {
    run();
  } catch (error) {
    if (error instanceof SpecError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};

describe('a model', () => {
  it('of format 1 is read, with groups and branches', () => {
    const model = parseModel(fixture('model-1.archlab.json'), catalogue);
    expect(countBlocks(model.layers)).toBe(7);
    expect([...walk(model.layers)].map((n) => n.path)).toContain('model.layers[2].parallel[1][0]');
  });

  it('names an unknown key where it stands', () => {
    const model = fixture('model-1.archlab.json');
    model.layers[1].layers[0].optoins = {};
    expect(refusal(() => parseModel(model, catalogue)).message).toContain(
      'model.layers[1].layers[0].optoins: unknown key',
    );
  });

  it('names an unknown block and offers the nearest', () => {
    const model = fixture('model-1.archlab.json');
    model.layers[0].block = 'mamba3';
    const { problems } = refusal(() => parseModel(model, catalogue));
    expect(problems).toEqual([
      {
        path: 'model.layers[0].block',
        message: 'unknown block "mamba3"; known are softmax_attention, mamba2, gated_mlp',
        hint: 'did you mean mamba2?',
        fix: 'mamba2',
      },
    ]);
  });

  it('does not place an operator', () => {
    const model = { ...fixture('model-1.archlab.json'), layers: [{ block: 'ssd_scan' }] };
    expect(refusal(() => parseModel(model, catalogue)).message).toContain('unknown block "ssd_scan"');
  });

  it('asks the block for rules that join options', () => {
    const model = {
      ...fixture('model-1.archlab.json'),
      layers: [{ block: 'softmax_attention', options: { heads: 5 } }],
    };
    expect(refusal(() => parseModel(model, catalogue)).message).toBe('model.layers[0].options.heads: does not divide');
  });

  it('says that an empty stack is empty, and refuses a bomb of repeats', () => {
    expect(refusal(() => parseModel({ ...fixture('model-1.archlab.json'), layers: [] }, catalogue)).message).toContain(
      'the stack is empty',
    );
    const nest = (depth: number): unknown => (depth ? { repeat: 256, layers: [nest(depth - 1)] } : { block: 'mamba2' });
    expect(
      refusal(() => parseModel({ ...fixture('model-1.archlab.json'), layers: [nest(3)] }, catalogue)).message,
    ).toContain('at most 4096');
  });

  it('of another format or no object at all is refused in words', () => {
    expect(
      refusal(() => parseModel({ ...fixture('model-1.archlab.json'), format: 'archlab.model/9' }, catalogue)).message,
    ).toContain('model.format: "archlab.model/9" does not fit: it wants "archlab.model/1"');
    expect(refusal(() => parseModel('hello', catalogue)).message).toContain(
      'model: "hello" does not fit: it wants an object',
    );
  });
});

describe('a run', () => {
  it('of format 1 is read and completed with defaults', () => {
    const run = parseRun(fixture('run-1.json'), catalogue, tasks);
    expect(run.optimiser).toEqual({ kind: 'adamw', lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 });
    expect(run.evaluation.every).toBe(50);
    expect(run.model.head).toEqual({ tied: true });
    expect(run.objective).toEqual({ kind: 'next_token', labelSmoothing: 0 });
  });

  it('of format 1 may fill in hidden tokens, a share of them within bounds', () => {
    const masked = fixture('run-1-masked.json');
    const known = new Map([...catalogue, ['hydra', rules()]]);
    const { objective } = parseRun(masked, known, tasks);
    expect(objective).toEqual({ kind: 'masked', maskRatio: 0.3, labelSmoothing: 0 });
    const wrong = (objective: unknown) => refusal(() => parseRun({ ...masked, objective }, known, tasks)).message;
    expect(wrong({ kind: 'masked', maskRatio: 1 })).toBe(
      'run.objective.maskRatio: 1 does not fit: it wants at most 0.95',
    );
    expect(wrong({ kind: 'next_token', maskRatio: 0.2 })).toContain('run.objective.maskRatio: unknown key');
    expect(wrong({ kind: 'maskd' })).toContain('run.objective.kind');
  });

  it('collects several problems, each with its path', () => {
    const run = {
      ...fixture('run-1.json'),
      task: { id: 'texd' },
      batch: { size: 10, accumulation: 3 },
      schedule: { warmup: 500 },
    };
    expect(refusal(() => parseRun(run, catalogue, tasks)).problems.map((p) => p.path)).toEqual([
      'run.task.id',
      'run.batch.accumulation',
      'run.schedule.warmup',
    ]);
  });

  it('offers the nearest known key', () => {
    expect(refusal(() => parseRun({ ...fixture('run-1.json'), optimizer: {} }, catalogue, tasks)).message).toContain(
      'run.optimizer: unknown key; did you mean optimiser?',
    );
  });

  it('refuses values out of range', () => {
    expect(refusal(() => parseRun({ ...fixture('run-1.json'), seed: -1 }, catalogue, tasks)).message).toBe(
      'run.seed: -1 does not fit: it wants at least 0',
    );
    expect(
      refusal(() => parseRun({ ...fixture('run-1.json'), optimiser: { kind: 'sgd', lr: 0 } }, catalogue, tasks))
        .message,
    ).toBe('run.optimiser.lr: 0 does not fit: it wants more than 0');
    expect(
      refusal(() => parseRun({ ...fixture('run-1.json'), name: 'n'.repeat(201) }, catalogue, tasks)).message,
    ).toMatch(/it wants at most 200 characters$/);
    expect(refusal(() => parseRun({ ...fixture('run-1.json'), budget: {} }, catalogue, tasks)).message).toContain(
      'run.budget.steps: is missing',
    );
  });
});

describe('options', () => {
  const schema = {
    heads: int(4, { min: 2, max: 8, step: 2, help: '' }),
    rate: float(0.5, { min: 0, max: 1, help: '' }),
    causal: bool(true, { help: '' }),
    act: choice('silu', { choices: ['silu', 'gelu'], help: '' }),
    limit: interval(null, { min: 0, max: 10, help: '' }),
    sizes: list([1, 2], { min: 1, max: 9, maxItems: 3, help: '' }),
  };
  it('are completed with their defaults', () => {
    expect(complete(schema, { heads: 8 })).toEqual({
      heads: 8,
      rate: 0.5,
      causal: true,
      act: 'silu',
      limit: null,
      sizes: [1, 2],
    });
  });
  it.each([
    [{ heads: 3 }, 'a whole number from 2 to 8 in steps of 2'],
    [{ heads: '4' }, 'a whole number'],
    [{ rate: Number.NaN }, 'a number from 0 to 1'],
    [{ causal: 1 }, 'true or false'],
    [{ act: 'tanh' }, 'one of silu, gelu'],
    [{ limit: [3, 2] }, 'low below high'],
    [{ sizes: [] }, 'a list of 1 to 3 numbers'],
    [{ hedas: 4 }, 'unknown option'],
  ])('refuse %o', (given, words) => {
    expect(
      checkOptions(schema, given, 'at')
        .map((p) => p.message)
        .join(),
    ).toContain(words);
  });
  it('admit what fits', () => {
    expect(
      checkOptions(schema, { heads: 6, rate: 0, causal: false, act: 'gelu', limit: [0, 10], sizes: [9] }, 'at'),
    ).toEqual([]);
  });
  it('find the nearest name only when it is near', () => {
    expect(nearest('haeds', ['heads', 'width'])).toBe('heads');
    expect(nearest('zzz', ['heads', 'width'])).toBeUndefined();
  });
});
