// What main really says, put into Russian whole; what is not known stays as it came.
import { describe, expect, it } from 'vitest';
import { catalogue } from '../../src-main/blocks';
import { inspect } from '../../src-main/engine/cost';
import { SpecError } from '../../src-main/spec/error';
import { parseRun } from '../../src-main/spec/run';
import { makeRunData, tasks } from '../../src-main/tasks';
import { said } from './said';

const ru = (sentence: string) => said(sentence, 'ru');
/** English words beside names in code: two or more in a row are a sentence that was not put into Russian. */
const english = /\b(?:the|wants|does|fit|with|and|must|than|try|take|unknown)\b/;
const expectRussian = (sentence: string | undefined) => {
  if (sentence === undefined) return;
  expect(ru(sentence), sentence).toMatch(/[а-яё]/i);
  expect(ru(sentence), sentence).not.toMatch(english);
};

const model = (layers: unknown[], rest: object = {}) => ({ format: 'archlab.model/1', width: 64, layers, ...rest });
const run = (rest: object) => ({
  format: 'archlab.run/1',
  model: model([{ block: 'mamba2' }]),
  task: { id: 'text' },
  budget: { steps: 10 },
  schedule: { warmup: 0 },
  ...rest,
});
const problemsOf = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    if (error instanceof SpecError) return error.problems;
    throw error;
  }
  throw new Error('nothing was refused');
};

describe('sentences of main in Russian', () => {
  it.each([
    [[]],
    [[{ block: 'mamba3' }]],
    [[{ block: 'hydra' }, { block: 'softmax_attention', options: { causal: false } }]],
    [[{ block: 'softmax_attention', options: { heads: 5 } }]],
    [[{ block: 'softmax_attention', options: { heads: 4, kvHeads: 3 } }]],
    [[{ block: 'hydra', options: { dConv: 4 } }]],
    [[{ block: 'mamba2', options: { headDim: 60, groups: 3, normEps: -1, dtLimit: 3, bias: 7 } }]],
    [[{ block: 'mlp', options: { activation: 'swish', activaton: 1 } }]],
    [[{ repeat: 0, layers: [] }]],
  ])('are whole for a model of %j', (layers) => {
    const { problems } = inspect(model(layers), { tokens: 8, vocabulary: 16 });
    expect(problems.length).toBeGreaterThan(0);
    for (const { message, hint } of problems) {
      expectRussian(message);
      expectRussian(hint);
    }
  });

  it('are whole for a run', () => {
    const refused = [
      run({ task: { id: 'txt' } }),
      run({ task: { id: 'text', options: { tokens: 0 } } }),
      run({ batch: { size: 3, accumulation: 2 } }),
      run({ schedule: { warmup: 20 } }),
      run({ seed: -1, name: 5, batchs: 1 }),
      run({ objective: { kind: 'masked', maskRatio: 2 } }),
      run({ budget: {} }),
    ].flatMap((draft) => problemsOf(() => parseRun(draft, catalogue, tasks)));
    const data = [
      { id: 'text', options: { source: 'nowhere' } },
      { id: 'text', options: { source: '/not/there.txt' } },
      { id: 'text', options: { tokens: 65_536, trainShare: 0.99 } },
    ].flatMap((task) =>
      problemsOf(() =>
        makeRunData({ task, objective: { kind: 'next_token', labelSmoothing: 0 }, seed: 1 }, '/tmp/no-such-lab'),
      ),
    );
    for (const { message, hint } of [...refused, ...data]) {
      expectRussian(message);
      expectRussian(hint);
    }
    // As the end of a run tells it: path, message and hint in one.
    const { path, message, hint } = refused.find((one) => one.hint)!;
    expectRussian(`${path}: ${message}; ${hint}`);
  });

  it('keep numbers and names, and what is not known', () => {
    expect(ru('All 300 steps are done.')).toBe('Все шаги (300) сделаны.');
    expect(ru('0 does not fit: it wants a whole number from 1 to 65536')).toBe(
      '0 не подходит: нужно целое число от 1 до 65536',
    );
    expect(ru('The moon is full.')).toBe('The moon is full.');
    expect(said('All 300 steps are done.', 'en')).toBe('All 300 steps are done.');
  });
});
