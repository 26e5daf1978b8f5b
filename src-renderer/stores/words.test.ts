// Cards take the words of the language, keep what is not translated, and lose nothing else.
import { expect, it } from 'vitest';
import type { BlockCard, TaskCard } from '../../src-main/spec/card';
import { int } from '../../src-main/spec/options';
import { levelName, localised, localisedPreset, presetName } from './words';

const options = { heads: int(4, { title: 'Heads', max: 8, help: 'How many.' }), dim: int(32, { help: 'How wide.' }) };
const heads = { title: 'головы', help: 'Сколько.' };
const block: BlockCard = {
  id: 'x',
  role: 'mixer',
  title: 'Attention',
  summary: 'Reads.',
  text: 'Reads. More.',
  options,
  translations: { ru: { title: 'Внимание', summary: 'Читает.', text: 'Читает. Ещё.', options: { heads } } },
};

it('gives a card in Russian, with the limits of its options as they were', () => {
  const card = localised(block, 'ru');
  expect(card).toMatchObject({ id: 'x', title: 'Внимание', summary: 'Читает.', text: 'Читает. Ещё.' });
  expect(card.options.heads).toEqual({ ...options.heads, ...heads });
  expect(card.english).toEqual({ title: 'Attention', summary: 'Reads.' });
});

it('leaves English where a language, a card or an option has no words', () => {
  expect(localised(block, 'en')).toBe(block);
  expect(localised(block, 'de')).toBe(block);
  const bare = { ...block, translations: undefined };
  expect(localised(bare, 'ru')).toBe(bare);
  expect(localised(block, 'ru').options.dim).toEqual(options.dim);
});

it('names presets of models and tasks, and levels without their quantity', () => {
  const preset = { id: 'a', title: 'Hybrid', summary: 'Both.', model: {} as never };
  const ru = { title: 'Гибрид', summary: 'Оба.' };
  expect(localisedPreset({ ...preset, translations: { ru } }, 'ru')).toMatchObject({ id: 'a', ...ru });
  expect(localisedPreset(preset, 'ru')).toEqual(preset);

  const words = { title: '', summary: '', text: '', options: {}, presets: { desk: 'настольная' } };
  const task = {
    translations: { ru: { ...words, levels: { 'loss of a guess': 'угадывание' } } },
  } as unknown as TaskCard;
  expect(['ru', 'en'].map((language) => presetName(task, 'desk', language))).toEqual(['настольная', 'desk']);
  expect(presetName(task, 'paper', 'ru')).toBe('paper');
  expect(['ru', 'en'].map((language) => levelName(task, 'loss of a guess', language))).toEqual([
    'угадывание',
    'a guess',
  ]);
  expect(levelName(undefined, 'accuracy of a guess', 'ru')).toBe('a guess');
});
