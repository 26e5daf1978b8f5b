// The options of the persistent memory and the sizes that follow from them.
import { int, type ValuesOf } from '../../spec/options';
import { memoryOptions } from '../parts/memory_options';

export const options = {
  ...memoryOptions,
  slots: int(0, {
    min: 0,
    help: 'Stored pairs N of a head and memory; 0 means three times the width: as many weights as a plain MLP of hidden width 4 × width.',
  }),
  memories: int(1, { min: 1, max: 64, help: 'Memories P whose answers are meaned.' }),
};
export type PersistentOptions = ValuesOf<typeof options>;

/** Heads H of width d, stored pairs N, memories P. */
export const sizes = ({ heads: H, slots, memories: P }: PersistentOptions, width: number) => ({
  H,
  d: width / H,
  N: slots || 3 * width,
  P,
});
