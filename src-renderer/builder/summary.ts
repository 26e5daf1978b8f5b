// The options of a block that differ from their defaults, in one line.
import type { BlockCard } from '../../src-main/spec/card';
import type { BlockNode } from '../../src-main/spec/model';

/** A value as it is shown in a line of text. */
export function shortValue(value: unknown, words: { on: string; off: string; unset: string }): string {
  if (value === null || value === undefined) return words.unset;
  if (value === true) return words.on;
  if (value === false) return words.off;
  if (Array.isArray(value)) return value.join(', ');
  return String(value);
}

export const sameValue = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Names and values of the changed options, in the order of the block's description. */
export function changedOptions(node: BlockNode, card: BlockCard | undefined): { name: string; value: unknown }[] {
  const given = node.options ?? {};
  const order = card ? Object.keys(card.options) : [];
  return Object.entries(given)
    .filter(([name, value]) => !card?.options[name] || !sameValue(value, card.options[name].default))
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .map(([name, value]) => ({ name, value }));
}
