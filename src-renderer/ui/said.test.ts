// What main really says, put into Russian whole; what is not known stays as it came.
import { describe, expect, it } from 'vitest';
import { catalogue } from '../../src-main/blocks';
import { inspect } from '../../src-main/engine/cost';
import { deathOf } from '../../src-main/runs/standing';
import { SpecError } from '../../src-main/spec/error';
import { parseRun } from '../../src-main/spec/run';
import { makeRunData, tasks } from '../../src-main/tasks';
import { reached, risen } from '../../src-main/train/pace';
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

  it('are whole where a problem comes as one line, or several do, with semicolons of their own', () => {
    const gaps =
      'run.objective.kind: the run learns to fill in hidden tokens, so it can not write on from a prompt; let it fill in gaps, or take a run that predicts the next token';
    const moved =
      'run.task.options.source: the text has changed since the run was trained, so its characters have other ids now; put the text back as it was; a run with the vocabulary bytes does not depend on it';
    const bare =
      'run: quiet-heron has no checkpoint yet, so there is no trained model to write with; passed over: a; b; wait for the first checkpoint, or stop the run, which writes one';
    for (const one of [gaps, moved, bare, `${gaps}\n${moved}`]) expectRussian(one);
    expect(ru(gaps)).toMatch(/^run\.objective\.kind: запуск .*; дайте ему /);
    expect(
      ru('CPU: a 256×256 product is right to 1e-5, at 200 GFLOP/s of 250 between registers; it copies 20 GB/s.'),
    ).toBe('CPU: произведение 256×256 верно до 1e-5, скорость 200 GFLOP/s из 250 в регистрах; копирует 20 ГБ/с.');
  });

  it('are whole where a run ends at a goal, or its loss rises', () => {
    const spec = { optimiser: { kind: 'sgd' as const, lr: 8 }, schedule: { warmup: 0 } };
    const { optimiser, schedule } = parseRun(run(spec), catalogue, tasks);
    for (const one of [
      reached({ accuracy: 0.99 }, { 'accuracy/validation': 0.9912 }),
      reached({ loss: 2 }, { 'loss/validation': 1.98765 }),
      risen({ optimiser, schedule }, { step: 1, loss: 5.5 }, { step: 9, loss: 312.4 }),
      deathOf(3, null, '').why,
    ]) {
      expect(one).toBeDefined();
      expectRussian(one);
    }
  });

  it('are whole for the devices of a machine without a graphics card', () => {
    for (const [title, detail, words] of [
      ['CPU', 'AVX-512 with BF16, 2 threads', 'AVX-512 с BF16, потоков: 2'],
      ['CPU', 'NEON, 1 thread', 'NEON, потоков: 1'],
      ["Reference (TF.js's JavaScript CPU backend)", 'JavaScript, one thread', 'JavaScript, один поток'],
    ]) {
      expect(ru(detail)).toBe(words);
      expect(ru(title)).not.toMatch(/backend/);
    }
    // They begin as the message of a problem does, without being one.
    for (const missing of [
      'no adapter was found: WebGPU wants a graphics driver with Vulkan (Linux), Direct3D 12 (Windows) or Metal (macOS)',
      'not installed; `npm install @tensorflow/tfjs-node-gpu` (CUDA) or `@tensorflow/tfjs-node` adds it.',
    ])
      expectRussian(missing);
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
