// Finding blocks by words: every word must occur in the id, the title or the summary, in whichever language.
import type { BlockCard } from '../../src-main/spec/card';
import type { Localised } from '../stores/words';

/** The blocks that may be placed and fit the words, those whose title begins with them first. */
export function findBlocks(blocks: readonly Localised<BlockCard>[], query: string): Localised<BlockCard>[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const said = (card: Localised<BlockCard>) => [card, card.english, card.translations?.ru].filter((one) => !!one);
  const rank = (card: Localised<BlockCard>) =>
    said(card).some(({ title }) => title.toLowerCase().startsWith(words[0] ?? '')) ? 0 : 1;
  return blocks
    .filter((card) => card.role !== 'operator')
    .filter((card) => {
      const text = [card.id, ...said(card).map(({ title, summary }) => `${title} ${summary}`)].join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => rank(a) - rank(b));
}
