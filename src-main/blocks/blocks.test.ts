// The catalogue: every folder is found, its card says what it is, and its defaults fit usual widths.
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { summaryOf } from '../spec/card';
import { complete } from '../spec/options';
import { blocks, cards, catalogue, operators } from '.';

const folders = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'parts')
  .map((entry) => entry.name)
  .sort();

it('finds every folder', () => {
  expect([...blocks.keys(), ...operators.keys()].sort()).toEqual(folders);
  expect([...catalogue.keys()].sort()).toEqual(folders);
  expect(cards().map((card) => card.id)).toEqual(folders);
});

it('has a card of three sentences and its facts for each', () => {
  for (const card of cards()) {
    const paragraph = card.text.split('\n\n')[0].replace(/\n/g, ' ');
    expect(paragraph.match(/[.!?](?= |$)/g), card.id).toHaveLength(3);
    expect(card.summary.length, card.id).toBeLessThan(200);
    for (const part of ['**Equation**', '**Shines**', '**Less so**', '**Cost**', '**Paper', 'arxiv.org'])
      expect(card.text, card.id).toContain(part);
    for (const option of Object.values(card.options)) expect(option.help).toMatch(/\.$/);
  }
});

it('takes the first sentence as summary', () => {
  expect(summaryOf('One thing, e.g.\nthis. Another.')).toBe('One thing, e.g.');
  expect(summaryOf('# Title.\n\nThe sentence.')).toBe('The sentence.');
  expect(summaryOf('Version 1.5 of\nit. More')).toBe('Version 1.5 of it.');
});

it('has defaults that fit usual widths', () => {
  for (const block of blocks.values())
    for (const width of [64, 128, 256, 512])
      expect(block.rules?.(complete(block.options), width, 'options') ?? [], block.id).toEqual([]);
});
