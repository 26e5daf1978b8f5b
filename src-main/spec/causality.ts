// Whether later tokens reach earlier outputs of a model, as plain data and as a sentence.

export interface Causality {
  /** Length of the sequence that was read, and the tokens that were changed, one at a time, from 0. */
  tokens: number;
  changed: number[];
  /** The largest change of any earlier number of any block, as a share of the largest number of its output. */
  worst: number;
  /** The first block whose earlier outputs moved; null where none did. */
  leak: Leak | null;
}
export interface Leak {
  block: string;
  /** Place among the built blocks, from 0. */
  index: number;
  /** Path of its node in the spec. */
  path: string;
  /** Changing token `token` moved the output at `moved`, both from 0. */
  token: number;
  moved: number;
  /** By this share of the largest number of the output. */
  change: number;
}

/** In words, for the command line. */
export function sayCausality({ tokens, changed, worst, leak }: Causality): string {
  if (!leak)
    return `No earlier output moves: of ${tokens} tokens number ${changed.map((t) => t + 1).join(', then ')} was changed, and no block's outputs before it did${worst ? ` by more than ${worst.toExponential(0)} of the largest` : ', by not a bit'}.`;
  return `${leak.block} lets later tokens through (block ${leak.index + 1}, ${leak.path}): changing token ${leak.token + 1} of ${tokens} moves its output at token ${leak.moved + 1} by ${leak.change.toPrecision(2)} of the largest. The blocks before it do not.`;
}
