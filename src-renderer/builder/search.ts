// Finding blocks by words: every word must occur in the id, the title or the summary, in whichever language; and stacks written as a line.
import type { BlockCard } from '../../src-main/spec/card';
import { countBlocks, isBlock, isRepeat, type Node, walk } from '../../src-main/spec/model';
import { isPattern, parsePattern } from '../../src-main/spec/pattern';
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

export interface WrittenStack {
  nodes: Node[];
  /** How many blocks will be built of it. */
  blocks: number;
  /** What it is in titles: `3 × Mamba-2, Softmax attention`. */
  summary: string;
}

/** The stack that a line such as `mamba2 x3, attention x1` stands for; undefined if it is none, or names a block that there is not. */
export function readStack(blocks: readonly Localised<BlockCard>[], line: string): WrittenStack | undefined {
  let nodes: Node[];
  try {
    nodes = parsePattern(line);
  } catch {
    return undefined; // a search, or a line not yet at its end
  }
  const titles = new Map(blocks.filter(({ role }) => role !== 'operator').map(({ id, title }) => [id, title]));
  const known = [...walk(nodes)].every(({ node }) => !isBlock(node) || titles.has(node.block));
  if (!isPattern(nodes) || !known) return undefined;
  const said = (list: readonly Node[]): string => list.map(one).join(', ');
  const one = (node: Node): string => {
    if (isBlock(node)) return titles.get(node.block) ?? node.block;
    if (!isRepeat(node)) return '';
    return `${node.repeat} × ${node.layers.length > 1 ? `(${said(node.layers)})` : said(node.layers)}`;
  };
  return { nodes, blocks: countBlocks(nodes), summary: said(nodes) };
}
