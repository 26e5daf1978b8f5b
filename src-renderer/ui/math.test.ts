// Formulas: what counts as one, that none is touched by Markdown, and that those of all cards are TeX that KaTeX knows.
import katex from 'katex';
import MarkdownIt from 'markdown-it';
import { describe, expect, it } from 'vitest';
import { cards } from '../../src-main/blocks';
import { taskCards } from '../../src-main/tasks';
import { formulas } from './math';

const markdown = new MarkdownIt({ html: false }).use(formulas);
const source = (html: string) => /<annotation[^>]*>(.*?)<\/annotation>/.exec(html)?.[1];

describe('formulas', () => {
  it('are what stands between dollar signs, untouched by Markdown', () => {
    const html = markdown.renderInline('so $a_{t,s} * b_t \\odot c * d$ it is');
    expect(source(html)).toBe('a_{t,s} * b_t \\odot c * d');
    expect(html).toMatch(/^so <span class="katex">.* it is$/s);
    expect(html).not.toContain('<em>');
  });

  it('are no prices, no code, and none without an end', () => {
    for (const text of ['$ 5 and $ 6', 'costs $5', '`$x$`', '$x $', '$$'])
      expect(markdown.renderInline(text), text).not.toContain('katex');
  });

  it('that are broken show their source, and no HTML of the card gets through', () => {
    expect(markdown.renderInline('$\\frac{$')).toMatch(/katex-error.*\\frac\{/s);
    expect(markdown.renderInline('$<b>$')).not.toContain('<b>');
    expect(markdown.renderInline('$\\href{javascript:alert(1)}{x}$')).not.toContain('href="javascript');
  });

  it('of every card, in every language, are TeX', () => {
    const texts = [...cards(), ...taskCards].flatMap(({ id, text, translations }) => [
      [id, text],
      [`${id}, Russian`, translations?.ru?.text ?? ''],
    ]);
    let count = 0;
    for (const [where, text] of texts) {
      expect(text.split('$').length % 2, `${where}: a dollar sign has no partner`).toBe(1);
      for (const [, tex] of text.matchAll(/\$([^$]+)\$/g)) {
        count += 1;
        expect(() => katex.renderToString(tex, { strict: 'error' }), `${where}: ${tex}`).not.toThrow();
      }
      // Signs that not every machine has in a font: they belong into a formula.
      expect(text.replaceAll(/\$[^$]+\$/g, ''), where).not.toMatch(/[⊙ᵀ‖∇∑½]/);
    }
    expect(count).toBeGreaterThan(150);
  });
});
