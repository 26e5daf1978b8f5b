// Depth: which layer of its kind a block is, for starting values that differ from layer to layer.
import { int } from '../../spec/options';
import type { Place } from '../define';

export interface Depth {
  /** Index among the layers of its kind, from 0; -1 until the model is planned. */
  layer: number;
  /** Layers of its kind in the model; 0 until the model is planned. */
  layers: number;
}

/** The two options; `sets` says what hangs on them. */
export const depthOptions = (sets: string) => ({
  layer: int(-1, {
    min: -1,
    max: 65_535,
    help: `Index of this layer among those of its kind, from 0; it sets ${sets}. -1 counts in the model.`,
  }),
  layers: int(0, { min: 0, help: 'Number of layers of this kind, which goes with the index; 0 counts in the model.' }),
});

/** Fills in what is left to counting: blocks whose id is one of `kinds` are layers of one kind. */
export function countDepth<O extends Depth>(options: O, { ids, index }: Place, kinds: readonly string[]): O {
  const count = (list: readonly string[]) => list.filter((id) => kinds.includes(id)).length;
  return {
    ...options,
    layer: options.layer < 0 ? count(ids.slice(0, index)) : options.layer,
    layers: options.layers || count(ids),
  };
}

/** Index, number of layers, and the share index / (layers − 1), 0 of a single layer; a block outside a model is a single one. */
export function depthOf(options: Depth) {
  const layer = Math.max(0, options.layer);
  const layers = Math.max(1, options.layers, layer + 1);
  return { layer, layers, share: layers > 1 ? layer / (layers - 1) : 0 };
}
