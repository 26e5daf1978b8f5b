// Both languages have the same keys with the same placeholders, and every key that the window uses is there.
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { i18n, russianForm } from '../i18n';
import { en } from './en';
import { ru } from './ru';

type Tree = { [key: string]: string | Tree };
function flat(tree: Tree, at = ''): Map<string, string> {
  const out = new Map<string, string>();
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === 'string') out.set(at + key, value);
    else for (const [k, v] of flat(value, `${at}${key}.`)) out.set(k, v);
  }
  return out;
}
const english = flat(en as unknown as Tree);
const russian = flat(ru as unknown as Tree);
const holes = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((hit) => hit[1]))].sort();

const root = resolve(import.meta.dirname, '..');
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(vue|ts)$/.test(file) && !file.includes('.test.') && !file.startsWith('messages'))
  .map((file) => ({ file, text: readFileSync(resolve(root, file), 'utf8') }));

describe('catalogue', () => {
  it('has the same keys in both languages', () => {
    expect([...russian.keys()].sort()).toEqual([...english.keys()].sort());
  });

  it('has no empty text, and the same placeholders in both languages', () => {
    for (const [key, text] of english) {
      expect(text.trim(), key).not.toBe('');
      expect(russian.get(key)?.trim(), key).not.toBe('');
      expect(holes(russian.get(key) ?? ''), key).toEqual(holes(text));
    }
  });

  it('is readable: every text compiles, with its placeholders filled', () => {
    for (const locale of ['en', 'ru'] as const) {
      i18n.global.locale.value = locale;
      for (const [key, text] of locale === 'en' ? english : russian) {
        const given = Object.fromEntries(holes(text).map((hole) => [hole, hole === 'n' ? 2 : `<${hole}>`]));
        const said = text.includes('|') ? i18n.global.t(key, 2, { named: given }) : i18n.global.t(key, given);
        // Of several forms not each need have every placeholder.
        if (!text.includes('|'))
          for (const hole of holes(text)) expect(said, key).toContain(hole === 'n' ? '2' : `<${hole}>`);
        expect(said, key).not.toMatch(/[{}|]/);
      }
    }
    i18n.global.locale.value = 'en';
  });

  it('has every key that the window asks for', () => {
    for (const { file, text } of sources) {
      for (const [, key] of text.matchAll(/\bt\(\s*'([\w.]+)'/g))
        expect(english.has(key), `${file}: ${key}`).toBe(true);
      // A key with a part filled in must at least begin like some key.
      for (const [, start] of text.matchAll(/\bt\(\s*`([\w.]+)\$\{/g))
        expect(
          [...english.keys()].some((key) => key.startsWith(start)),
          `${file}: ${start}`,
        ).toBe(true);
    }
  });

  it('puts no words on the screen past the catalogue', () => {
    for (const { file, text } of sources.filter((source) => source.file.endsWith('.vue'))) {
      const template = text.slice(text.indexOf('<template>'), text.lastIndexOf('</template>'));
      const bare = [
        ...template.replace(/<!--[\s\S]*?-->/g, '').matchAll(/(?<![=\-\s])>([^<>{}]*[A-Za-zА-Яа-я]{3,}[^<>{}]*)</g),
      ]
        .map((hit) => hit[1].trim())
        .filter((words) => !/[=;&|"()]/.test(words));
      expect(bare, file).toEqual([]);
      const said = [...template.matchAll(/\s(?:title|aria-label|placeholder|label)="([^"]+)"/g)].map((hit) => hit[1]);
      expect(said, file).toEqual([]);
    }
  });
});

describe('Russian counts', () => {
  it('takes the form of the number', () => {
    const forms = (n: number) => russianForm(n, 3);
    expect([1, 21, 101].map(forms)).toEqual([0, 0, 0]);
    expect([2, 3, 4, 22, 1.5].map(forms)).toEqual([1, 1, 1, 1, 1]);
    expect([0, 5, 11, 12, 14, 20, 111, 112].map(forms)).toEqual([2, 2, 2, 2, 2, 2, 2, 2]);
  });
});
