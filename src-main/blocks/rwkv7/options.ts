// The options of RWKV-7's time mixing and the sizes that follow from them.
import type { Problem } from '../../spec/error';
import { float, int, type ValuesOf } from '../../spec/options';
import type { Surroundings } from '../define';
import { type Depth, depthOf, depthOptions } from '../parts/place';

const rank = (what: string) =>
  int(0, {
    min: 0,
    max: 4096,
    help: `Rank of the map that makes the ${what}; 0 takes the published size for the width.`,
  });

export const options = {
  headDim: int(64, { min: 1, max: 1024, help: 'Channels N of a head; they divide the width.' }),
  decayRank: rank('decay'),
  rateRank: rank('rate at which old values are removed'),
  valueRank: rank('blend with the values of the first layer'),
  gateRank: rank('output gate'),
  normEps: float(64e-5, { min: 0, max: 0.1, log: true, help: 'Added to the variance in the norm of each head.' }),
  ...depthOptions('starting values, and whether values blend with those of layer 0'),
};
export type Rwkv7Options = ValuesOf<typeof options>;

/** Heads H of N channels, and the ranks. */
export function sizes(o: Rwkv7Options, width: number) {
  const published = (factor: number) => Math.max(32, 32 * Math.round((factor * Math.sqrt(width)) / 32));
  return {
    H: Math.floor(width / o.headDim),
    N: o.headDim,
    decay: o.decayRank || published(2.5),
    rate: o.rateRank || published(2.5),
    value: o.valueRank || published(1.7),
    gate: o.gateRank || published(5),
  };
}

/** The first layer makes the values that later ones blend with. */
export const isFirst = (o: Depth): boolean => depthOf(o).layer === 0;

/** The first of its kind in a model has no values to blend with, so it has to be layer 0. */
export function fits(o: Rwkv7Options, { before }: Surroundings, path: string): Problem[] {
  if (isFirst(o) || before.some(({ id }) => id === 'rwkv7')) return [];
  const message = `layer ${o.layer} blends its values with those of layer 0, and no layer 0 stands before it`;
  return [{ path: `${path}.layer`, message, hint: 'set layer to -1, which counts in the model', fix: -1 }];
}
