// Cards: what the palette, the inspector and the checker know of a block or a task, as plain data.
import type { Problem } from './error';
import type { Norm } from './model';
import type { Options } from './options';

/** Where a block may stand: a mixer moves data between tokens, a channel block within one; an operator is tested, not placed. */
export type BlockRole = 'mixer' | 'channel' | 'operator';

/** A card in another language: what a folder's `ru.ts` holds, as plain data. */
export interface Translation {
  title: string;
  /** Markdown, as card.md; its first sentence is the summary. */
  text: string;
  /** An entry for each option of the block or task. */
  options: Record<string, { title: string; help: string }>;
}
/** Of a task also the names of its presets, and of its levels by their English names. */
export interface TaskTranslation extends Translation {
  presets: Record<string, string>;
  levels: Record<string, string>;
}
/** What a card carries in languages besides English, by their tags. */
export interface Translations<T extends Translation = Translation> {
  ru?: T & { summary: string };
}

/** The first sentence of a card below its title, on one line. */
export function summaryOf(text: string): string {
  const line = text.replace(/^#.*$/m, '').trim().replace(/\s+/g, ' ');
  return /^.*?[.!?](?= |$)/.exec(line)?.[0] ?? line;
}

/** The translations of a card from what its folder holds; undefined where it holds none. */
export const translationsOf = <T extends Translation>(ru: T | undefined): Translations<T> | undefined =>
  ru && { ru: { ...ru, summary: summaryOf(ru.text) } };

/** Norm and residual of a node that says nothing of them. */
export interface Usual {
  norm: Norm;
  residual: boolean;
}
export const USUAL: Usual = { norm: 'rms', residual: true };

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
  /** Where it differs from `USUAL`. */
  usual?: Usual;
  translations?: Translations;
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
  translations?: Translations<TaskTranslation>;
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
