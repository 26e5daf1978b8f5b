// Finding blocks by words: every word must occur in the id, the title or the summary.
import type { BlockCard } from '../../src-main/spec/card';

/** The blocks that may be placed and fit the words, those whose title begins with them first. */
export function findBlocks(blocks: readonly BlockCard[], query: string): BlockCard[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = (card: BlockCard) => (card.title.toLowerCase().startsWith(words[0] ?? '') ? 0 : 1);
  return blocks
    .filter((card) => card.role !== 'operator')
    .filter((card) => {
      const text = `${card.id} ${card.title} ${card.summary}`.toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => rank(a) - rank(b));
}
