// Rows of MQAR are as the definition says, at every setting; test rows are never trained on.
import { describe, expect, it } from 'vitest';
import { SpecError } from '../../spec/error';
import { stream } from '../../spec/random';
import { makeTask, tasks } from '..';
import { drawSlots } from './make';

const make = (options: Record<string, unknown> = {}, seed = 1) => makeTask('mqar', options, { seed });
const small = { vocabulary: 16, trainLengths: [16], trainPairs: [2], testLengths: [16], testPairs: [2], testRows: 50 };

describe('mqar', () => {
  for (const fill of ['zero', 'safe', 'random'])
    for (const passes of [1, 2])
      it(`grades each key once, with its value, filled with ${fill}, ${passes} passes`, () => {
        const data = make({ ...small, vocabulary: 64, fill, passes });
        const { inputs, targets, mask, tags } = data.batch('train', 5, 20);
        for (let b = 0; b < 20; b++) {
          const at = (x: ArrayLike<number>, t: number) => x[b * 16 + t];
          const value = new Map<number, number>();
          for (let t = 0; t < 4 * passes; t += 2) {
            expect(at(inputs, t)).toBeGreaterThanOrEqual(1);
            expect(at(inputs, t)).toBeLessThan(32);
            expect(at(inputs, t + 1)).toBeGreaterThanOrEqual(32);
            if (value.has(at(inputs, t))) expect(value.get(at(inputs, t))).toBe(at(inputs, t + 1));
            value.set(at(inputs, t), at(inputs, t + 1));
          }
          expect(value.size).toBe(2);
          expect(new Set(value.values()).size).toBe(2);
          const asked: number[] = [];
          for (let t = 0; t < 16; t++) {
            if (at(mask!, t)) {
              expect(t % 2).toBe(0);
              expect(t).toBeGreaterThanOrEqual(4 * passes);
              asked.push(at(inputs, t));
              expect(at(targets, t)).toBe(value.get(at(inputs, t)));
            } else if (t >= 4 * passes) {
              if (fill === 'zero') expect(at(inputs, t)).toBe(0);
              if (fill === 'safe') expect(value.has(at(inputs, t))).toBe(false);
            }
          }
          expect(asked.sort()).toEqual([...value.keys()].sort());
          expect(tags![b]).toEqual(passes > 1 ? { kv: 2, len: 16, passes } : { kv: 2, len: 16 });
        }
      });

  it('draws rows from the seed, the split and their place alone', () => {
    const rows = (seed: number, index: number, size: number) => [...make({}, seed).batch('train', index, size).inputs];
    expect(rows(1, 3, 4)).toEqual(rows(1, 3, 4));
    expect(rows(1, 3, 4)).not.toEqual(rows(2, 3, 4));
    expect(rows(1, 3, 4)).not.toEqual(rows(1, 0, 4));
    expect([...rows(1, 0, 2), ...rows(1, 3, 2)]).toEqual(rows(1, 0, 4));
    expect([...make().batch('validation', 0, 3).inputs]).not.toEqual([...make().batch('train', 1, 3).inputs]);
  });

  it('takes turns between its settings, and repeats its test rows', () => {
    const data = make({ testLengths: [64, 64, 128, 256], testPairs: [4, 8, 16, 32], testRows: 8 });
    expect([0, 1, 2, 3].map((i) => data.batch('train', i, 2).tags![0])).toEqual([
      { kv: 2, len: 32 },
      { kv: 4, len: 64 },
      { kv: 8, len: 64 },
      { kv: 2, len: 32 },
    ]);
    expect(data.round).toBe(4);
    expect(data.tokens).toBe(256);
    expect(data.batch('validation', 2 + 4, 8)).toEqual(data.batch('validation', 2, 8));
  });

  it('repeats training rows only where their number is limited', () => {
    const distinct = (rows: number) => {
      const data = make({ trainLengths: [32], trainPairs: [2], rows });
      const { inputs } = data.batch('train', 0, 200);
      return new Set(Array.from({ length: 200 }, (_, b) => inputs.subarray(b * 32, b * 32 + 32).join())).size;
    };
    expect(distinct(0)).toBe(200);
    expect(distinct(10)).toBe(10);
  });

  it('never trains on a test row, and says how often it drew anew', () => {
    const tiny = {
      vocabulary: 8,
      trainLengths: [4],
      trainPairs: [1],
      testLengths: [4],
      testPairs: [1],
      fill: 'zero',
      testRows: 6,
    };
    const data = make(tiny);
    const row = (x: ArrayLike<number>, b: number) =>
      Array.from(x)
        .slice(b * 4, b * 4 + 4)
        .join();
    const test = data.batch('validation', 0, 6);
    const held = new Set(Array.from({ length: 6 }, (_, b) => row(test.inputs, b)));
    const train = data.batch('train', 0, 300);
    for (let b = 0; b < 300; b++) expect(held.has(row(train.inputs, b))).toBe(false);
    expect(data.redraws!()).toBeGreaterThan(0);
    expect(() => make({ ...tiny, testRows: 1000 }).batch('train', 0, 1)).toThrow(/too small for test rows of its own/);
  });

  it('asks soon when a is near 0, anywhere when it is 1', () => {
    const { uniform } = stream('slots');
    const share = (power: number) => {
      let hits = 0;
      for (let i = 0; i < 4000; i++) if (drawSlots(28, 4, power, uniform)[0] === 0) hits += 1;
      return hits / 4000;
    };
    // tasks.md 1.1: 1/H(28) with weights near 1/j; four standard errors of 4,000 draws are 0.028.
    expect(Math.abs(share(0.01) - 0.25)).toBeLessThan(0.028);
    expect(Math.abs(share(1) - 1 / 28)).toBeLessThan(0.028);
    expect(new Set(drawSlots(28, 28, 0.01, uniform)).size).toBe(28);
  });

  const wrong: [string, Record<string, unknown>, RegExp][] = [
    [
      'an odd length',
      { trainLengths: [31], trainPairs: [2] },
      /trainLengths\[0\]: a length of 31 does not fit.*try 32/,
    ],
    [
      'too many pairs',
      { trainLengths: [16], trainPairs: [5] },
      /trainPairs\[0\]: 5 pairs.* want 20 tokens, but the length is 16; try 4 pairs, or a length of 20/,
    ],
    ['lists of unlike length', { testLengths: [64] }, /testPairs: 2 numbers of pairs do not go with 1 lengths/],
    [
      'too few keys',
      { vocabulary: 8, trainLengths: [64], trainPairs: [8], testLengths: [64], testPairs: [2] },
      /vocabulary of 8 has 3; try a vocabulary of 18/,
    ],
  ];
  for (const [name, options, message] of wrong)
    it(`refuses ${name}`, () => {
      expect(() => make(options)).toThrow(SpecError);
      expect(() => make(options)).toThrow(message);
    });

  it('makes every preset', () => {
    for (const preset of Object.values(tasks.get('mqar')!.presets))
      expect(make({ ...preset, testRows: 2 }).batch('train', 1, 2).inputs.length).toBeGreaterThan(0);
  });
});
