// The palette's search, and stacks written as a line.
import { describe, expect, it } from 'vitest';
import type { BlockCard } from '../../src-main/spec/card';
import type { Localised } from '../stores/words';
import { findBlocks, readStack } from './search';

const card = (id: string, title: string, role: BlockCard['role'] = 'mixer'): Localised<BlockCard> =>
  ({ id, title, role, summary: `${title} mixes.`, text: '', options: {} }) as unknown as Localised<BlockCard>;
const cards = [
  card('mamba2', 'Mamba-2'),
  card('softmax_attention', 'Softmax attention'),
  card('ssd_scan', 'State-space scan', 'operator'),
];

describe('findBlocks', () => {
  it('finds by all words, titles that begin with them first, and no operators', () => {
    expect(findBlocks(cards, 'mixes').map(({ id }) => id)).toEqual(['mamba2', 'softmax_attention']);
    expect(findBlocks(cards, 'attention soft').map(({ id }) => id)).toEqual(['softmax_attention']);
    expect(findBlocks(cards, 'scan')).toEqual([]);
  });
});

describe('readStack', () => {
  it('reads a line of blocks that there are', () => {
    expect(readStack(cards, 'mamba2 x3, attention x1')).toEqual({
      nodes: [{ repeat: 3, layers: [{ block: 'mamba2' }] }, { block: 'softmax_attention' }],
      blocks: 4,
      summary: '3 × Mamba-2, Softmax attention',
    });
    expect(readStack(cards, '(mamba2 x2, attention) x4')?.summary).toBe('4 × (2 × Mamba-2, Softmax attention)');
  });

  it.each(['mamba2', 'mamba2, lstm', 'ssd_scan x2', 'mamba2 x3,', ''])('leaves “%s” to the search', (line) => {
    expect(readStack(cards, line)).toBeUndefined();
  });
});
