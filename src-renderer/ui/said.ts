// What main says, in the language of the window. Main speaks English, whoever asks; a sentence that is not known here stays as it came.
import { useI18n } from 'vue-i18n';
import { russian } from './said.ru';

const languages: Readonly<Record<string, typeof russian>> = { ru: russian };

/** One sentence, or one part of a sentence. */
export function said(sentence: string, locale: string): string {
  const patterns = languages[locale];
  if (!patterns) return sentence;
  for (const [pattern, words] of patterns) {
    const found = pattern.exec(sentence);
    if (found)
      return words.replace(/\$(\d)|\{(\d)\}/g, (_, plain?: string, own?: string) =>
        plain ? found[Number(plain)] : said(found[Number(own)], locale),
      );
  }
  return sentence;
}

/** `said` in the language of the window; what it returns follows a change of language. */
export function useSaid(): (sentence: string) => string {
  const { locale } = useI18n();
  return (sentence) => said(sentence, locale.value);
}
