// A lasting name for each node of a document, kept beside it: lists keep their elements, groups their folding, through edits.
import type { Node } from '../../src-main/spec/model';

const keys = new WeakMap<Node, number>();
let next = 1;

/** The node's key; copies of a node made by an edit share it, other nodes never do. */
export function keyOf(node: Node): number {
  let key = keys.get(node);
  if (key === undefined) {
    key = next++;
    keys.set(node, key);
  }
  return key;
}

/** Says that `fresh` stands for `old` after an edit; gives `fresh`. */
export function carryKey<N extends Node>(old: Node, fresh: N): N {
  keys.set(fresh, keyOf(old));
  return fresh;
}
