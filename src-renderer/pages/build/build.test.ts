// What the Build page writes: run drafts that main accepts, estimates, model files.
import { describe, expect, it } from 'vitest';
import type { ModelSpec } from '../../../src-main/spec/model';
import { runSchema } from '../../../src-main/spec/run';
import { fileName, fromText, toText } from './files';
import { distinctNames, draftsOf, estimate, OPTIMISERS, SCHEDULES, settingsAtFirst, settingsOf, USUAL } from './plan';

const model = (name: string): ModelSpec => ({
  format: 'archlab.model/1',
  name,
  width: 64,
  positions: 'none',
  layers: [{ repeat: 2, layers: [{ block: 'mamba2', options: { expand: 2 } }] }],
  finalNorm: 'rms',
  head: { tied: true },
});
const nameOf = ({ name }: { name?: string }, seed: number) => `${name}, seed ${seed}`;

describe('drafts', () => {
  it('are whole run specs for every optimiser', () => {
    for (const optimiser of OPTIMISERS) {
      const settings = { ...settingsAtFirst, optimiser, ...USUAL[optimiser], clip: null, seeds: 2 };
      for (const draft of draftsOf([model('a')], { id: 'text', options: {} }, settings, nameOf))
        expect(runSchema.safeParse(draft).error?.issues ?? []).toEqual([]);
    }
  });

  it('make one run per model and seed, all models with the first seed first', () => {
    const settings = { ...settingsAtFirst, seeds: 2, firstSeed: 7 };
    const drafts = draftsOf([model('a'), model('b')], { id: 'mqar', options: { pairs: 4 } }, settings, nameOf);
    expect(drafts.map(({ name, seed }) => [name, seed])).toEqual([
      ['a, seed 7', 7],
      ['b, seed 7', 7],
      ['a, seed 8', 8],
      ['b, seed 8', 8],
    ]);
    expect(new Set(drafts.map(({ task }) => JSON.stringify(task))).size).toBe(1);
  });

  it('give back the settings that they were made with', () => {
    for (const optimiser of OPTIMISERS)
      for (const schedule of SCHEDULES) {
        const settings = {
          ...{ ...settingsAtFirst, optimiser, ...USUAL[optimiser], schedule, lr: 0.003, clip: null, firstSeed: 4 },
          ...{ warmup: 7, final: 0.05, decay: 0.3, labelSmoothing: 0.1, untilAccuracy: 0.99, minutes: 2.5 },
        };
        const [draft] = draftsOf([model('a')], { id: 'text', options: {} }, settings, nameOf);
        expect(draft!.budget).toEqual({ steps: 300, seconds: 150, until: { accuracy: 0.99 } });
        expect(settingsOf(runSchema.parse(draft))).toEqual(settings);
      }
  });

  it('name no two models alike', () => {
    expect(distinctNames(['a', 'b', 'a', 'a', 'a (2)'])).toEqual(['a', 'b', 'a (3)', 'a (4)', 'a (2)']);
    expect(distinctNames(['a', 'a'])).toEqual(['a', 'a (2)']);
  });

  it('keep the warm-up within a short run', () => {
    const [draft] = draftsOf([model('a')], { id: 'text', options: {} }, { ...settingsAtFirst, steps: 5 }, nameOf);
    expect(draft.schedule?.warmup).toBe(5);
  });
});

describe('estimate', () => {
  const inspection = {
    total: {
      parameters: 1000,
      embeddingParameters: 0,
      flopsPerToken: 2000,
      stateBytes: 0,
      savedBytes: 500,
      held: {
        float32: [
          { once: 3000, each: 600 },
          { once: 7000, each: 0 },
        ],
        bfloat16: [{ once: 3000, each: 400 }],
      },
      blocks: 1,
    },
  };
  it('counts tokens, forward and backward operations, memory and the least time', () => {
    const settings = { ...settingsAtFirst, steps: 10, batch: 8, accumulation: 2 };
    expect(estimate(inspection, 32, settings, 0.001)).toEqual({
      tokens: 2560,
      flops: 3 * 2000 * 2560,
      memoryBytes: 1000 * 4 * 4 + 7000, // weights, two numbers of AdamW, the sum of the parts before
      seconds: (3 * 2000 * 2560) / 1e6,
    });
    expect(estimate(inspection, 32, { ...settings, accumulation: 1 }, null)).toMatchObject({
      memoryBytes: 1000 * 4 * 3 + 3000 + 600 * 8,
      seconds: null,
    });
  });
  it('counts what bfloat16 keeps in 16 bits where it does, on the cpu device', () => {
    const settings = { ...settingsAtFirst, batch: 8, precision: 'bfloat16' as const };
    const memory = (device: 'cpu' | 'webgpu') => estimate(inspection, 32, { ...settings, device }, null).memoryBytes;
    expect(memory('cpu')).toBe(1000 * 4 * 3 + 3000 + 400 * 8);
    expect(memory('webgpu')).toBe(1000 * 4 * 3 + 3000 + 600 * 8);
  });
});

describe('model files', () => {
  it('come back as they went', () => {
    expect(fromText(toText(model('a')))).toEqual({ kind: 'model', model: model('a') });
  });

  it('say what is wrong with them', () => {
    expect(fromText('{"format":')).toMatchObject({ kind: 'notJson' });
    const misspelt = fromText(JSON.stringify({ ...model('a'), widht: 4, width: undefined }));
    expect(misspelt).toMatchObject({ kind: 'notModel' });
    expect('message' in misspelt && misspelt.message).toContain('did you mean width?');
    expect(fromText('[]')).toMatchObject({ kind: 'notModel' });
  });

  it('let unknown blocks in, for the builder to show', () => {
    expect(fromText(JSON.stringify({ ...model('a'), layers: [{ block: 'nosuch' }] })).kind).toBe('model');
  });

  it('refuse groups nested beyond reason without falling over', () => {
    const deep = `{"format":"archlab.model/1","width":1,"layers":[${'{"repeat":1,"layers":['.repeat(20_000)}${']}'.repeat(20_000)}]}`;
    expect(fromText(deep).kind).not.toBe('model');
  });

  it('get names that every system takes', () => {
    expect(fileName('My model 2')).toBe('My-model-2.archlab.json');
    expect(fileName('../../etc/passwd')).toBe('etc-passwd.archlab.json');
    expect(fileName('Модель')).toBe('Модель.archlab.json');
    expect(fileName('///')).toBe('model.archlab.json');
  });
});
