// The options of differential attention, the sizes that follow from them, and the constant that λ starts near.
import { float, int, type ValuesOf } from '../../spec/options';
import type { Place } from '../define';
import { positionOptions } from '../parts/position_options';

export const options = {
  heads: int(2, {
    min: 1,
    max: 256,
    help: 'Heads H, each with two maps; half as many as softmax attention has compare at equal parameters.',
  }),
  kvHeads: int(0, {
    title: 'KV heads',
    min: 0,
    max: 256,
    help: 'Key and value heads Hk; must divide the heads. 0 means as many as query heads.',
  }),
  headDim: int(0, {
    min: 0,
    max: 4096,
    help: 'Channels of one of the two query and key components; a value head is twice as wide. 0 means width / (2 × heads).',
  }),
  layerIndex: int(-1, {
    min: -1,
    max: 65_536,
    help: 'Depth l in λ_init = 0.8 − 0.6·exp(−0.3·l), counted from 0; −1 counts the layers before it in the model.',
    paper: 'https://arxiv.org/abs/2410.05258',
  }),
  lambdaInit: float(0, {
    title: 'starting λ',
    min: 0,
    max: 0.99,
    help: 'A constant λ_init for every depth; 0 takes the schedule. The paper tried 0.5 and 0.8.',
    paper: 'https://arxiv.org/abs/2410.05258',
  }),
  ...positionOptions,
  normEps: float(1e-5, { min: 0, max: 0.1, log: true, help: 'Added to the mean square in the norm of each head.' }),
};
export type DifferentialOptions = ValuesOf<typeof options>;

/** Query heads H, key heads Hk and the width d of a component, with the zeros of the options resolved. */
export function sizes({ heads, kvHeads, headDim }: DifferentialOptions, width: number) {
  return { H: heads, Hk: kvHeads || heads, d: headDim || Math.floor(width / (2 * heads)) };
}

/** Fills in the depth: every mixer before this one counts as a layer, whatever its kind. */
export function countLayers(options: DifferentialOptions, { roles, index }: Place): DifferentialOptions {
  if (options.layerIndex >= 0) return options;
  return { ...options, layerIndex: roles.slice(0, index).filter((role) => role === 'mixer').length };
}

/** λ_init by the options; a block outside of a model has depth 0. */
export const lambdaInit = ({ lambdaInit: constant, layerIndex }: DifferentialOptions): number =>
  constant || 0.8 - 0.6 * Math.exp(-0.3 * Math.max(0, layerIndex));
