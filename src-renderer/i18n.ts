// Sets up the one message catalogue; messages/ holds its texts, a file per language and part of the window.
import { createI18n } from 'vue-i18n';
import { en } from './messages/en';
import { ru } from './messages/ru';

/** The form for a count: 1 блок, 2 блока, 5 блоков, written in this order and split by `|`. */
export function russianForm(count: number, forms: number): number {
  const ten = count % 10;
  const hundred = count % 100;
  const form = !Number.isInteger(count)
    ? 1
    : ten === 1 && hundred !== 11
      ? 0
      : ten >= 2 && ten <= 4 && (hundred < 12 || hundred > 14)
        ? 1
        : 2;
  return Math.min(form, forms - 1);
}

export const i18n = createI18n({
  legacy: false,
  locale: 'en',
  fallbackLocale: 'en',
  messages: { en, ru },
  pluralRules: { ru: russianForm },
});
