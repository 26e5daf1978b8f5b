// The window speaks Russian too: every block that can be placed, every task and every preset has its words, whole.
import { describe, expect, it } from 'vitest';
import { cards } from '../../src-main/blocks';
import { presets } from '../../src-main/engine/presets';
import type { BlockCard, TaskCard } from '../../src-main/spec/card';
import { makeTask, taskCards, tasks } from '../../src-main/tasks';

const RUSSIAN = /[А-Яа-яЁё]/;
const blank = (text: unknown) => typeof text !== 'string' || !text.trim();
const links = (text: string) => [...text.matchAll(/https?:\/\/[^\s)]+/g)].map(([link]) => link).sort();

/** Names that one side has and the other lacks, as sentences. */
const differ = (file: string, what: string, wanted: readonly string[], given: readonly string[]) => [
  ...wanted.filter((name) => !given.includes(name)).map((name) => `${file}: ${what}.${name} is missing`),
  ...given.filter((name) => !wanted.includes(name)).map((name) => `${file}: ${what}.${name} is unknown; remove it`),
];

/** What a folder's ru.ts lacks, as sentences that name the file. */
function lacks(folder: string, card: BlockCard | TaskCard): string[] {
  const file = `${folder}/ru.ts`;
  const ru = card.translations?.ru;
  if (!ru) return [`${file} is missing: write title, text and options of ${card.id} in Russian`];
  const wrong = differ(file, 'options', Object.keys(card.options), Object.keys(ru.options));
  if (blank(ru.title)) wrong.push(`${file}: title is empty`);
  if (!RUSSIAN.test(ru.summary)) wrong.push(`${file}: text does not begin with a Russian sentence`);
  if (links(ru.text).join() !== links(card.text).join()) wrong.push(`${file}: text has other links than card.md`);
  for (const [name, { title, help }] of Object.entries(ru.options)) {
    if (blank(title)) wrong.push(`${file}: options.${name}.title is empty`);
    if (!RUSSIAN.test(help) || !help.endsWith('.')) wrong.push(`${file}: options.${name}.help is no Russian sentence`);
  }
  return wrong;
}

describe('Russian words', () => {
  it('are there for every block that can be placed', () => {
    const placed = cards().filter(({ role }) => role !== 'operator');
    expect(placed.length).toBeGreaterThan(0);
    expect(placed.flatMap((card) => lacks(`src-main/blocks/${card.id}`, card))).toEqual([]);
  });

  it('are there for every task, with its presets and levels', () => {
    expect(taskCards.length).toBeGreaterThan(0);
    const wrong = taskCards.flatMap((card) => {
      const file = `src-main/tasks/${card.id}/ru.ts`;
      const ru = card.translations?.ru;
      const { levels } = makeTask(card.id, tasks.get(card.id)?.presets.desk ?? {}, { seed: 1 });
      return [
        ...lacks(`src-main/tasks/${card.id}`, card),
        ...differ(file, 'presets', Object.keys(card.presets), Object.keys(ru?.presets ?? {})),
        ...differ(file, 'levels', Object.keys(levels), Object.keys(ru?.levels ?? {})),
      ];
    });
    expect(wrong).toEqual([]);
  });

  it('are there for every preset of the palette', () => {
    const wrong = presets.filter(
      ({ translations }) => blank(translations?.ru?.title) || !RUSSIAN.test(translations?.ru?.summary ?? ''),
    );
    expect(wrong.map(({ id }) => `src-main/engine/presets.ts: ${id} has no Russian title or summary`)).toEqual([]);
  });

  it('are missed by name', () => {
    const options = { heads: { kind: 'bool', default: true, help: 'On.' } } as const;
    const card: BlockCard = {
      id: 'x',
      role: 'mixer',
      title: 'X',
      summary: 'Y.',
      text: 'Y. https://a.example',
      options,
    };
    expect(lacks('blocks/x', card)).toEqual([
      'blocks/x/ru.ts is missing: write title, text and options of x in Russian',
    ]);
    const ru = { title: 'Икс', text: 'Y.', summary: 'Y.', options: { head: { title: '', help: 'Да' } } };
    expect(lacks('blocks/x', { ...card, translations: { ru } })).toEqual([
      'blocks/x/ru.ts: options.heads is missing',
      'blocks/x/ru.ts: options.head is unknown; remove it',
      'blocks/x/ru.ts: text does not begin with a Russian sentence',
      'blocks/x/ru.ts: text has other links than card.md',
      'blocks/x/ru.ts: options.head.title is empty',
      'blocks/x/ru.ts: options.head.help is no Russian sentence',
    ]);
  });
});
