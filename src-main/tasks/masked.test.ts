// The masked objective's data: what is chosen, how it is hidden, and that rows depend on nothing but their keys.
import { describe, expect, it } from 'vitest';
import { SpecError } from '../spec/error';
import { makeRunData, makeTask } from '.';
import { chosenCount, chosenPlaces, gapParts, MASK_SIGN, maskedData, readGaps } from './masked';

const text = makeTask('text', { tokens: 100 }, { seed: 3 });
const make = (ratio = 0.15, seed = 3) => maskedData(text, { ratio, seed });

describe('masked data', () => {
  it('chooses the same number in every row, one at least, all at most', () => {
    expect([chosenCount(100, 0.15), chosenCount(1, 0.15), chosenCount(3, 0.01), chosenCount(2, 0.95)]).toEqual([
      15, 1, 1, 2,
    ]);
    const { mask } = make().batch('train', 2, 4);
    for (let b = 0; b < 4; b++) expect(mask!.subarray(b * 100, b * 100 + 100).reduce((a, m) => a + m, 0)).toBe(15);
    const places = chosenPlaces(100, 0.15, 'x');
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(new Set(places).size).toBe(15);
  });

  it('hides 80 % by the mask token, replaces 10 %, and leaves 10 % and all that was not chosen', () => {
    const data = make(0.5);
    expect(data.vocabulary).toBe(257);
    expect(data.maskToken).toBe(256);
    const counts = { chosen: 0, hidden: 0, other: 0 };
    for (let i = 0; i < 40; i++) {
      const { inputs, targets, mask } = data.batch('train', i, 10);
      expect(Buffer.from(targets.buffer)).toEqual(Buffer.from(text.batch('train', i, 10).inputs.buffer));
      for (let t = 0; t < inputs.length; t++) {
        if (!mask![t]) expect(inputs[t]).toBe(targets[t]);
        else {
          counts.chosen += 1;
          if (inputs[t] === 256) counts.hidden += 1;
          else if (inputs[t] !== targets[t]) counts.other += 1;
        }
      }
    }
    // 20,000 draws: five standard deviations of a share are 0.014 at 0.8, 0.011 at 0.1. A random token is the true one once in 256.
    expect(counts.chosen).toBe(20_000);
    expect(Math.abs(counts.hidden / counts.chosen - 0.8)).toBeLessThan(0.014);
    expect(Math.abs(counts.other / counts.chosen - 0.1)).toBeLessThan(0.012);
  });

  it('draws from the seed and the row alone', () => {
    const hex = (data: ReturnType<typeof make>, split: 'train' | 'validation', i: number, size: number) => {
      const { inputs, mask } = data.batch(split, i, size);
      return Buffer.from(inputs.buffer).toString('hex') + Buffer.from(mask!).toString('hex');
    };
    expect(hex(make(), 'train', 5, 4)).toBe(hex(make(), 'train', 5, 4));
    expect(hex(make(), 'train', 5, 4)).not.toBe(hex(make(), 'train', 6, 4));
    // Rows do not depend on how a batch is cut.
    const halves = [10, 11].map((i) => make().batch('train', i, 2).inputs);
    expect([...halves[0], ...halves[1]]).toEqual([...make().batch('train', 5, 4).inputs]);
    // The seed moves what is trained on, and leaves what validates.
    const fresh = maskedData({ ...text }, { ratio: 0.15, seed: 4 });
    expect(hex(fresh, 'train', 5, 4)).not.toBe(hex(make(), 'train', 5, 4));
    expect(hex(fresh, 'validation', 5, 4)).toBe(hex(make(), 'validation', 5, 4));
  });

  it('shows hidden tokens by a sign, and characters of several bytes whole', () => {
    const data = make();
    expect(data.decode([...data.encode('дом'), 256, ...data.encode('ы')])).toBe(`дом${MASK_SIGN}ы`);
    expect(data.decode([256, 256])).toBe(MASK_SIGN + MASK_SIGN);
    expect(data.decode([])).toBe('');
  });

  it('is what a run with this objective trains on, of a text alone', () => {
    const objective = { kind: 'masked', maskRatio: 0.3, labelSmoothing: 0 } as const;
    const data = makeRunData({ task: { id: 'text', options: { tokens: 10 } }, objective, seed: 1 });
    expect(data.batch('validation', 0, 1).mask!.reduce((a, m) => a + m, 0)).toBe(3);
    const mqar = () => makeRunData({ task: { id: 'mqar', options: {} }, objective, seed: 1 });
    expect(mqar).toThrow(SpecError);
    expect(mqar).toThrow(/run\.objective\.kind: masked hides tokens of a text, and the task mqar .*; take next_token/);
  });
});

describe('gaps', () => {
  it('are underscores, one for each token; an escaped one is itself', () => {
    const data = make();
    expect(readGaps('a__b\\_c', data)).toEqual([97, 256, 256, 98, 95, 99]);
    expect(readGaps('ж_', data)).toEqual([0xd0, 0xb6, 256]);
    expect(readGaps('', data)).toEqual([]);
    expect(readGaps('\\', data)).toEqual([92]);
  });

  it('cut a text into what was given, filled in, and is open', () => {
    const data = make();
    const given = readGaps('\\_a___c', data);
    const ids = [...given];
    [ids[2], ids[3]] = [0xd0, 0xb6]; // two bytes of one letter
    expect(gapParts(given, ids, data)).toEqual([
      { kind: 'given', text: '_a' },
      { kind: 'filled', text: 'ж' },
      { kind: 'open', text: '_' },
      { kind: 'given', text: 'c' },
    ]);
    expect(gapParts([], [], data)).toEqual([]);
  });
});
