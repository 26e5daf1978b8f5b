// Windows of a text: pure functions of their index, never across the cut; every wrong source gets a sentence.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SpecError } from '../../spec/error';
import { makeTask, taskCards } from '..';
import type { Split, TaskData } from '../define';

let lab: string;
beforeAll(() => {
  lab = mkdtempSync(join(tmpdir(), 'archlab-text-'));
  mkdirSync(join(lab, 'texts'));
  // Bytes below 128 train and bytes from 128 on validate, so that a crossing shows.
  writeFileSync(
    join(lab, 'texts', 'halves.txt'),
    Buffer.from([...Array(900).keys()].map((i) => i % 100).concat(Array(100).fill(200))),
  );
  writeFileSync(join(lab, 'texts', 'letters.txt'), 'дом и сад\n'.repeat(40));
  writeFileSync(join(lab, 'texts', 'empty.txt'), '');
});
afterAll(() => rmSync(lab, { recursive: true, force: true }));

const make = (options: Record<string, unknown>, seed = 1) => makeTask('text', options, { seed, lab });
const starts = (data: TaskData, split: Split, batches: number, size: number) =>
  Array.from({ length: batches }, (_, i) => Buffer.from(data.batch(split, i, size).inputs.buffer).toString('hex'));

describe('text', () => {
  it('aligns targets one token ahead', () => {
    const { inputs, targets, mask } = make({ source: 'halves', tokens: 16 }).batch('train', 3, 5);
    expect(mask).toBeNull();
    for (let i = 0; i < inputs.length; i++) expect(targets[i]).toBe((inputs[i] + 1) % 100);
  });

  it('never lets a window cross the cut', () => {
    const data = make({ source: 'halves', tokens: 31 });
    expect(data.sizes).toEqual({ train: 900, validation: 100 });
    for (let i = 0; i < 50; i++) {
      const train = data.batch('train', i, 8);
      expect(Math.max(...train.inputs, ...train.targets)).toBeLessThan(100);
      const validation = data.batch('validation', i, 8);
      expect(Math.min(...validation.inputs, ...validation.targets)).toBe(200);
    }
  });

  it('reaches the first and the last window of the training part', () => {
    const path = join(lab, 'ramp.txt');
    writeFileSync(path, Buffer.from([...Array(200).keys()]));
    const data = make({ source: path, tokens: 95, trainShare: 0.5 });
    const firsts = new Set<number>();
    for (let i = 0; i < 100; i++) firsts.add(data.batch('train', i, 1).inputs[0]);
    expect([...firsts].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it('draws batches from the seed and the index alone', () => {
    const options = { source: 'moby-dick', tokens: 32 };
    const data = make(options);
    const first = starts(data, 'train', 4, 4);
    expect(starts(make(options), 'train', 4, 4)).toEqual(first);
    expect(starts(make(options, 2), 'train', 4, 4)).not.toEqual(first);
    expect(new Set(first).size).toBe(4);
    // Asked out of order, and in parts, the rows are the same.
    data.batch('train', 17, 2);
    expect(starts(data, 'train', 1, 4)).toEqual(first.slice(0, 1));
    const halves = [0, 1].map((i) => Buffer.from(data.batch('train', i, 2).inputs.buffer).toString('hex'));
    expect(halves.join('')).toBe(first[0]);
    expect(starts(data, 'validation', 4, 4)).toEqual(starts(make(options, 2), 'validation', 4, 4));
  });

  it('validates on every window once before any comes twice', () => {
    const text = Buffer.from([...Array(4000).keys()].map((i) => (i * 7) % 251));
    const path = join(lab, 'counted.txt');
    writeFileSync(path, text);
    const data = make({ source: path, tokens: 10, trainShare: 0.5 });
    const windows = Math.floor(1999 / 10);
    const seen = new Set(starts(data, 'validation', windows, 1));
    expect(seen.size).toBe(windows);
  });

  it('has the bundled texts whole, and their levels', () => {
    const moby = make({ source: 'moby-dick' });
    expect(moby.vocabulary).toBe(256);
    expect(moby.sizes.train! + moby.sizes.validation!).toBeGreaterThan(1_200_000);
    expect(moby.decode(moby.batch('train', 0, 1).inputs)).toMatch(/[a-z ]{3}/);
    expect(moby.levels['loss of a uniform guess']).toBeCloseTo(Math.log(256), 10);
    expect(moby.levels['loss of counting tokens']).toBeGreaterThan(2.5);
    expect(moby.levels['loss of counting tokens']).toBeLessThan(3.5);
    expect(make({ source: 'sotu' }).sizes.train!).toBeGreaterThan(9_000_000);
  });

  it('counts characters, and has a stand-in for those it lacks', () => {
    const data = make({ source: 'letters', vocabulary: 'characters', tokens: 8 });
    expect(data.vocabulary).toBe(9 + 1 - 1);
    expect(data.decode(data.encode('дом сад'))).toBe('дом сад');
    expect(data.encode('z')).toEqual([0]);
    expect(data.decode([0])).toBe('\ufffd');
    const { inputs, targets } = data.batch('validation', 0, 1);
    expect(Math.max(...inputs, ...targets)).toBeLessThan(data.vocabulary);
    expect(data.decode(inputs)).toHaveLength(8);
  });

  it('encodes bytes as UTF-8 and begins its prompt at a character', () => {
    const data = make({ source: 'letters', tokens: 8 });
    expect(data.encode('ж')).toEqual([0xd0, 0xb6]);
    expect(data.decode(data.prompt!)).not.toContain('\ufffd');
  });

  it('joins the files of a folder in order, without hidden files, links and pictures', () => {
    const folder = join(lab, 'folder');
    mkdirSync(join(folder, 'b'), { recursive: true });
    writeFileSync(join(folder, 'c.txt'), 'C'.repeat(20));
    writeFileSync(join(folder, 'b', 'x.md'), 'B'.repeat(20));
    writeFileSync(join(folder, 'a.txt'), 'A'.repeat(20));
    writeFileSync(join(folder, '.secret'), 'S'.repeat(20));
    writeFileSync(join(folder, 'picture.png'), Buffer.from([137, 80, 0, 0, 0]));
    symlinkSync(join(folder, 'a.txt'), join(folder, 'link.txt'));
    const data = make({ source: folder, tokens: 1, trainShare: 0.5 });
    expect(data.sizes).toEqual({ train: 31, validation: 31 });
    expect(data.decode(data.prompt!)).toBe(`${'B'.repeat(10)}\n${'C'.repeat(20)}`);
  });

  const wrong: [string, Record<string, unknown>, RegExp][] = [
    [
      'a text of zero bytes',
      { source: 'empty' },
      /run\.task\.options\.source: .*empty\.txt has zero bytes; take a file with text/,
    ],
    ['a text that is not there', { source: 'gone' }, /there is no text "gone"/],
    [
      'a path that is not there',
      { source: '/nowhere/at/all.txt' },
      /\/nowhere\/at\/all\.txt is not there; check the path/,
    ],
    ['a device', { source: '/dev/null' }, /\/dev\/null is neither a file nor a folder; give the path/],
    ['a path that climbs', { source: '../../etc/passwd' }, /is no source/],
    [
      'a text too short for its context',
      { source: 'halves', tokens: 128 },
      /has 1000 bytes, of which 900 train and 100 validate; .* wants 129 in each part; .* at most 99/,
    ],
    ['bytes that are no characters', { source: 'halves', vocabulary: 'characters', tokens: 4 }, /not UTF-8/],
    ['an unknown option', { sorce: 'x' }, /run\.task\.options\.sorce: unknown option; .*did you mean source/],
  ];
  for (const [name, options, message] of wrong)
    it(`refuses ${name}`, () => {
      expect(() => make(options)).toThrow(SpecError);
      expect(() => make(options)).toThrow(message);
    });

  it('says which lab folder it lacks, and which task it does not know', () => {
    expect(() => makeTask('text', { source: 'mine' }, { seed: 1 })).toThrow(/there is no lab folder/);
    expect(() => makeTask('texts', {}, { seed: 1 })).toThrow(/unknown task "texts"; .*did you mean text/);
  });

  it('has a card whose summary is one sentence', () => {
    const card = taskCards.find(({ id }) => id === 'text')!;
    expect(card.summary).toBe('Predict the next byte or character of a text, given the ones before it.');
    expect(JSON.parse(JSON.stringify(card))).toEqual(card);
  });
});
