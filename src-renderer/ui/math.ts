// Formulas in the text of cards: TeX between dollar signs, as Markdown has it elsewhere, set by KaTeX with its own fonts.
import katex from 'katex';
import type MarkdownIt from 'markdown-it';

const DOLLAR = '$';

/** Adds `$…$` to a Markdown renderer. What is no TeX is shown as it stands, in the colour of an error. */
export function formulas(markdown: InstanceType<typeof MarkdownIt>): void {
  // Before escapes and emphasis, which have the same signs.
  markdown.inline.ruler.before('escape', 'formula', (state, silent) => {
    const { src, pos, posMax } = state;
    if (src[pos] !== DOLLAR || /\s/.test(src[pos + 1] ?? ' ')) return false;
    const end = src.indexOf(DOLLAR, pos + 1);
    if (end < 0 || end >= posMax || end === pos + 1 || /\s/.test(src[end - 1])) return false;
    if (!silent) state.push('formula', '', 0).content = src.slice(pos + 1, end);
    state.pos = end + 1;
    return true;
  });
  markdown.renderer.rules.formula = (tokens, index) =>
    katex.renderToString(tokens[index].content, { throwOnError: false, strict: 'ignore' });
}
