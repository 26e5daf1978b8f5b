// What main says, in the language of the window. Main speaks English, whoever asks; a sentence that is not known here stays as it came.
import { useI18n } from 'vue-i18n';
import { russian } from './said.ru';

type Patterns = typeof russian;
const languages: Readonly<Record<string, Patterns>> = { ru: russian };

/** A problem whole, as an error tells it: where, then what, then what to try. */
const PROBLEM = /^([a-z]\w*(?:[.[][\w.[\]]*)?|\/\S+): (.+)$/is;
const BETWEEN = '; ';

/** One sentence, one part of a sentence, or problems, a line each. */
export function said(sentence: string, locale: string): string {
  const patterns = languages[locale];
  if (!patterns) return sentence;
  const whole = PROBLEM.test(sentence) ? undefined : translated(sentence, patterns);
  const each = () => sentence.split('\n').map((line) => problem(line, patterns));
  return whole ?? each().join('\n');
}

/** By the first pattern that fits; undefined where none does. */
function translated(sentence: string, patterns: Patterns): string | undefined {
  for (const [pattern, words] of patterns) {
    const found = pattern.exec(sentence);
    if (found)
      return words.replace(/\$(\d)|\{(\d)\}/g, (_, plain?: string, own?: string) => {
        if (plain) return found[Number(plain)];
        const part = found[Number(own)];
        return translated(part, patterns) ?? problem(part, patterns);
      });
  }
  return undefined;
}

/** A problem's parts, each by itself: cut where both sides are known, since either may have a semicolon of its own. */
function problem(line: string, patterns: Patterns): string {
  const [, path, rest = line] = PROBLEM.exec(line) ?? [];
  const before = path ? `${path}: ` : '';
  for (let at = rest.indexOf(BETWEEN); at >= 0; at = rest.indexOf(BETWEEN, at + 1)) {
    const parts = [rest.slice(0, at), rest.slice(at + BETWEEN.length)].map((part) => translated(part, patterns));
    if (parts.every((part) => part !== undefined)) return before + parts.join(BETWEEN);
  }
  const whole = translated(rest, patterns);
  return whole === undefined ? (translated(line, patterns) ?? line) : before + whole;
}

/** `said` in the language of the window; what it returns follows a change of language. */
export function useSaid(): (sentence: string) => string {
  const { locale } = useI18n();
  return (sentence) => said(sentence, locale.value);
}
