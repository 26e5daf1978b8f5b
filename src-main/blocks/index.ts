// Finds every block and operator by its folder: `./<id>/block.ts`, `./<id>/card.md` and `./<id>/ru.ts`.
import {
  type BlockCard,
  type BlockRules,
  type Catalogue,
  summaryOf,
  type Translation,
  translationsOf,
} from '../spec/card';
import type { AnyBlock, AnyOperator } from './define';

const definitions = import.meta.glob<AnyBlock | AnyOperator>('./*/block.ts', { eager: true, import: 'default' });
const texts = import.meta.glob<string>('./*/card.md', { eager: true, import: 'default', query: '?raw' });
const russian = import.meta.glob<Translation>('./*/ru.ts', { eager: true, import: 'default' });

const isOperator = (definition: AnyBlock | AnyOperator): definition is AnyOperator => definition.role === 'operator';
const byId = <T extends { id: string }>(list: T[]): ReadonlyMap<string, T> => new Map(list.map((one) => [one.id, one]));

/** The definitions in order of their folders, each checked to carry its folder's name and a card. */
const found = Object.entries(definitions)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([path, definition]) => {
    const folder = path.split('/')[1];
    if (definition?.id !== folder)
      throw new Error(`internal: src-main/blocks/${folder}/block.ts says id ${definition?.id}; it must be ${folder}`);
    if (texts[`./${folder}/card.md`] === undefined)
      throw new Error(`internal: src-main/blocks/${folder} has no card.md`);
    return definition;
  });

/** Blocks that models are made of, by id. */
export const blocks: ReadonlyMap<string, AnyBlock> = byId(found.filter((d): d is AnyBlock => !isOperator(d)));
/** Computations that blocks are built on, by id. */
export const operators: ReadonlyMap<string, AnyOperator> = byId(found.filter(isOperator));

/** What the check of a model needs of the blocks. */
export const catalogue: Catalogue = new Map(found.map((definition) => [definition.id, definition as BlockRules]));

/** The card of each block and operator, as the palette and the inspector show it. */
export const cards = (): BlockCard[] =>
  found.map((definition) => {
    const { id, role, title, options, paper } = definition;
    const usual = isOperator(definition) ? undefined : definition.usual;
    const text = texts[`./${id}/card.md`];
    const translations = translationsOf(russian[`./${id}/ru.ts`]);
    return { id, role, title, summary: summaryOf(text), text, options, paper, usual, translations };
  });
