// Cards: what the palette, the inspector and the checker know of a block or a task, as plain data.
import type { Problem } from './error';
import type { Options } from './options';

/** Where a block may stand: a mixer moves data between tokens, a channel block within one; an operator is tested, not placed. */
export type BlockRole = 'mixer' | 'channel' | 'operator';

export interface BlockCard {
  id: string;
  role: BlockRole;
  title: string;
  /** First sentence of card.md; the palette shows it. */
  summary: string;
  /** card.md whole (Markdown); the inspector shows it. */
  text: string;
  options: Options;
  paper?: string;
}

export interface TaskCard {
  id: string;
  kind: 'text' | 'synthetic';
  title: string;
  summary: string;
  text: string;
  options: Options;
  /** Named option sets, e.g. `desk`, `paper`. */
  presets: Record<string, Record<string, unknown>>;
  /** The number that a result is quoted by. */
  headline: { metric: string; better: 'lower' | 'higher' };
}

/**
 * What checking a model needs of the blocks: their options, and the rules that join several options.
 * `rules` is asked with completed options; it runs in main, the window gets its answers through `models.inspect`.
 */
export interface BlockRules {
  role: BlockRole;
  options: Options;
  rules?(options: Record<string, unknown>, width: number, path: string): Problem[];
}
export type Catalogue = ReadonlyMap<string, BlockRules>;
