// Cards in the language of the window: what they say replaces the English, and what is not translated stays.
import type { BlockCard, TaskCard } from '../../src-main/spec/card';
import type { ModelPreset } from '../../src-main/spec/inspection';
import type { Options } from '../../src-main/spec/options';
import { i18n } from '../i18n';

/** The language that the window speaks now; reading it in a computed value follows it. */
export const languageNow = (): string => i18n.global.locale.value;

type Named = { title: string; summary: string };
/** Shown in another language, a card keeps its English title and summary, so that a search finds it by both. */
export type Localised<C> = C & { english?: Named };

/** The words for `language` among the translations; undefined for English and where there are none. */
const wordsOf = <W>(translations: { ru?: W } | undefined, language: string): W | undefined =>
  language === 'ru' ? translations?.ru : undefined;

/** A block's or task's card as it reads in a language. */
export function localised<C extends BlockCard | TaskCard>(card: C, language: string): Localised<C> {
  const words = wordsOf<NonNullable<NonNullable<C['translations']>['ru']>>(card.translations, language);
  if (!words) return card;
  const options: Options = Object.fromEntries(
    Object.entries(card.options).map(([name, option]) => [name, { ...option, ...words.options[name] }]),
  );
  const { title, summary, text } = words;
  const english = { title: card.title, summary: card.summary };
  return { ...card, title, summary, text, options, english } as Localised<C>;
}

/** A ready model as it reads in a language. */
export const localisedPreset = (preset: ModelPreset, language: string): ModelPreset => ({
  ...preset,
  ...wordsOf(preset.translations, language),
});

/** The name of a task's preset; its own where it is not translated. */
export const presetName = (card: TaskCard | undefined, name: string, language: string): string =>
  wordsOf(card?.translations, language)?.presets[name] ?? name;

/** A level of a task, `loss of a uniform guess`, as a line is labelled: without the quantity, which its chart says. */
export const levelName = (card: TaskCard | undefined, name: string, language: string): string =>
  wordsOf(card?.translations, language)?.levels[name] ?? name.replace(/^\w+ of /, '');
